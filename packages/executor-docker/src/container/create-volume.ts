import type { ExecutorContext } from "../executor-context.ts";
import type { JobUsage } from "../garbage/usage.ts";
import type { JobBelongings } from "./cleanup.ts";
import { labelName } from "./names.ts";
import type { NamedVolume } from "./volumes.ts";

export interface VolumeOrder extends NamedVolume {
  readonly isProtected: boolean;
  /** Those of the job. */
  readonly labels: Readonly<Record<string, string>>;
}

/** Creates a volume, if it is not there; one that later jobs do not find again belongs to the job. */
export async function createVolume(
  { engine, options }: ExecutorContext,
  order: VolumeOrder,
  { belongings, usage }: { readonly belongings: JobBelongings; readonly usage: JobUsage },
): Promise<void> {
  const { name, destination, reusable, isProtected, labels } = order;
  if (reusable) await usage.volume(name);
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
