import { posix } from "node:path";

import type { JobVolumes } from "../container/volumes.ts";
import type { Engine } from "../engine/engine.ts";
import { TextSink } from "../engine/text-sink.ts";
import type { DockerDirectories, DockerEnvironment, DockerPrepareRequest } from "../types.ts";
import { hasPath, putArchive } from "./archive-transport.ts";
import type { Transport } from "./transport.ts";

export interface ReadyFilesOptions {
  readonly engine: Engine;
  readonly request: DockerPrepareRequest;
  readonly volumes: JobVolumes;
  readonly transport: Transport;
  /** The job's container, which another one may replace. */
  readonly containerId: () => string;
  /** Runs scripts in it. */
  readonly run: DockerEnvironment["run"];
  /** Runs scripts of the runner beside the scripts' files, if anything does. */
  readonly runHelper: DockerEnvironment["run"] | undefined;
}

/** Sees to it that the scripts find no files of the job before but those that are kept for them, and may write where they have to. */
export async function readyFiles(options: ReadyFilesOptions): Promise<void> {
  const { engine, request, volumes, transport, containerId, run, runHelper } = options;
  const { directories, signal } = request;
  if (runHelper !== undefined) {
    // Sources are the helper's own business; what is left of a killed job's secrets is not.
    if (await hasPath(engine, containerId(), directories.temporary, signal)) {
      await removeOldFiles(runHelper, request, [directories.temporary]);
    }
  } else if (volumes.coversBuilds) {
    await removeOldFiles(run, request, [directories.project, directories.temporary]);
  }
  await transport.begin({ id: containerId(), directories: openDirectories(directories, volumes), signal });
  await openVolumes(engine, containerId(), volumes, signal);
}

/** A volume that is kept has files of the job before, and only a script can remove them. */
async function removeOldFiles(
  run: DockerEnvironment["run"],
  request: DockerPrepareRequest,
  paths: readonly string[],
): Promise<void> {
  const quoted = paths.map((path) => `'${path.replaceAll("'", "'\\''")}'`).join(" ");
  const output = new TextSink();
  const exit = await run({
    script: `rm -rf ${quoted} </dev/null\nexit $?\n`,
    stdout: output,
    stderr: output,
    signal: request.signal,
  });
  request.signal.throwIfAborted();
  if (exit.code !== 0) request.warn(`The files of the job before could not be removed: ${output.text.trim()}`);
}

/** Directories that the commands of the job may have to write to, parents first. */
function openDirectories({ builds, project, temporary }: DockerDirectories, volumes: JobVolumes): string[] {
  const parents: string[] = [];
  for (let place = posix.dirname(project); place.startsWith(`${builds}/`); place = posix.dirname(place)) {
    parents.unshift(place);
  }
  const own = volumes.coversBuilds ? [] : [builds];
  return [...own, ...parents, project, temporary];
}

/** A fresh volume belongs to root alone, and nobody knows as whom the commands of the image run. */
async function openVolumes(
  engine: Engine,
  containerId: string,
  volumes: JobVolumes,
  signal: AbortSignal,
): Promise<void> {
  const { toOpen: directories } = volumes;
  if (directories.length > 0) await putArchive(engine, containerId, { trees: [], directories, signal });
}
