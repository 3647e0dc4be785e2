import type { ExecutorContext } from "../executor-context.ts";
import type { JobBelongings } from "./cleanup.ts";
import { labelName } from "./names.ts";
import type { NamedVolume } from "./volumes.ts";

export interface VolumeOrder extends NamedVolume {
  readonly isProtected: boolean;
  /** Those of the job. */
  readonly labels: Readonly<Record<string, string>>;
}

/** Who has to know of a volume. */
export interface VolumeUse {
  readonly belongings: JobBelongings;
  /** Learns the name of a volume that later jobs find again, before it is used. */
  readonly onUse: (name: string) => Promise<void>;
}

/** Creates a volume, if it is not there; one that later jobs do not find again belongs to the job. */
export async function createVolume(
  { engine, options }: ExecutorContext,
  order: VolumeOrder,
  { belongings, onUse }: VolumeUse,
): Promise<void> {
  const { name, destination, reusable, isProtected, labels } = order;
  if (reusable) await onUse(name);
  const { volumeDriver, volumeDriverOptions } = options.settings ?? {};
  await engine.call("create a volume", (docker) =>
    docker.createVolume({
      Name: name,
      Labels: {
        ...labels,
        [labelName("type")]: "cache",
        [labelName("destination")]: destination,
        [labelName("protected")]: String(isProtected),
        [labelName("reusable")]: String(reusable),
      },
      ...(volumeDriver === undefined || volumeDriver === "" ? {} : { Driver: volumeDriver }),
      ...(volumeDriverOptions === undefined ? {} : { DriverOpts: { ...volumeDriverOptions } }),
    }),
  );
  if (!reusable) belongings.volume(name);
}
