import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";

import { removeNetwork, removeVolume } from "./container/cleanup.ts";
import { removeContainer } from "./container/job-container.ts";
import { labelName, ownLabels } from "./container/names.ts";
import type { Engine } from "./engine/engine.ts";
import { EngineUnreachableError } from "./errors.ts";
import type { DockerRunner, SweepResult } from "./types.ts";

export interface SweepOptions {
  readonly engine: Engine;
  readonly runner: DockerRunner;
  /** Jobs that run at this moment. */
  readonly running: ReadonlySet<number>;
  readonly hostDirectory: string;
  /** Whether anonymous volumes stay when their container goes. */
  readonly keepAnonymousVolumes: boolean;
  readonly signal: AbortSignal;
}

/**
 * Removes what jobs have left that do not run any longer: those of this runner on this machine, and nothing of anybody else.
 *
 * @throws {AggregateError} something could not be removed; the rest was
 * @see job-execution 2.9
 */
export async function sweep(options: SweepOptions): Promise<SweepResult> {
  const { engine, running, signal } = options;
  const filters = { label: ownLabels(options.runner, options.hostDirectory) };
  const isLeft = ({
    Labels: labels,
  }: {
    readonly Labels?: Readonly<Record<string, string>> | null | undefined;
  }): boolean => !running.has(Number(labels?.[labelName("job.id")]));
  const removal = { withVolumes: !options.keepAnonymousVolumes, signal };
  const failures: unknown[] = [];
  const removeAll = async <Item>(items: readonly Item[], remove: (item: Item) => Promise<void>): Promise<number> => {
    let removed = 0;
    for (const item of items) {
      try {
        await remove(item);
        removed += 1;
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof EngineUnreachableError) throw error;
        // The others can go all the same.
        failures.push(error);
      }
    }
    return removed;
  };

  const containers = await engine.call("list containers", (docker) => docker.listContainers({ all: true, filters }), {
    signal,
  });
  const removedContainers = await removeAll(containers.filter(isLeft), ({ Id: id }) =>
    removeContainer(engine, id, removal),
  );
  const networks = await engine.call("list networks", (docker) => docker.listNetworks({ filters }), { signal });
  const removedNetworks = await removeAll(networks.filter(isLeft), ({ Id: id }) => removeNetwork(engine, id, removal));
  const temporary = { label: [...filters.label, `${labelName("reusable")}=false`] };
  const volumes = await engine.call("list volumes", (docker) => docker.listVolumes({ filters: temporary }), { signal });
  const removedVolumes = await removeAll((volumes.Volumes ?? []).filter(isLeft), ({ Name: name }) =>
    removeVolume(engine, name, signal),
  );
  if (running.size === 0) await removeHostDirectories(options.hostDirectory);
  if (failures.length > 0) {
    throw new AggregateError(failures, `${failures.length} things could not be removed: ${String(failures[0])}`);
  }
  return { containers: removedContainers, networks: removedNetworks, volumes: removedVolumes };
}

/** Working copies that are kept have names without a random part. */
async function removeHostDirectories(hostDirectory: string): Promise<void> {
  const left = async (folder: string, isLeft: (name: string) => boolean): Promise<string[]> => {
    const names = await readdir(join(hostDirectory, folder)).catch(() => []);
    return names.filter(isLeft).map((name) => join(hostDirectory, folder, name));
  };
  const paths = [
    ...(await left("shared", () => true)),
    ...(await left("builds", (name) => !/^runner-[0-9a-f]{32}(?:-protected)?$/.test(name))),
  ];
  for (const path of paths) await rm(path, { recursive: true, force: true });
}
