import { readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";

import type { Core } from "./core.ts";
import { artifactPath } from "./jobs/job-entry.ts";
import type { JobRecord } from "./jobs/job-record.ts";
import { isOver } from "./jobs/job-state.ts";
import { restoreSingleJob } from "./jobs/single-job.ts";
import type { PipelineRun } from "./pipeline/pipeline-run.ts";
import type { ResourceGroups } from "./pipeline/resource-groups.ts";
import type { KeptJob } from "./pipeline/kept-pipeline.ts";
import { restorePipeline } from "./pipeline/start-pipeline.ts";
import { awaitConfirmation } from "./queue/hand-out.ts";
import type { KeptState } from "./storage/read-journal.ts";
import type { StateDirectory } from "./storage/state-directory.ts";
import type { JobEntry } from "./storage/state-entry.ts";
import type { StoredTrace } from "./storage/trace-file.ts";
import { inspectTrace, traceName } from "./storage/trace-file.ts";

/** What the files of a job hold, which is what counts when a process was killed while it wrote them. */
interface JobFiles {
  readonly entry: JobEntry;
  readonly trace: StoredTrace;
}

/** Looks at the files of all jobs, and removes what was not received as a whole. */
export async function inspectFiles(kept: KeptState, state: StateDirectory): Promise<ReadonlyMap<number, JobFiles>> {
  const files = new Map<number, JobFiles>();
  // One after another: there may be many, and each opens a file.
  for (const [id, { entry }] of kept.jobs) {
    const directory = state.jobDirectory(id);
    const artifacts = [];
    for (const artifact of entry.artifacts) {
      if ((await sizeOf(artifactPath(directory, artifact.path))) === artifact.bytes) artifacts.push(artifact);
    }
    if (!isOver(entry.state)) await removePartialFiles(join(directory, "artifacts"));
    const trace = entry.trace ?? (await inspectTrace(join(directory, traceName)));
    files.set(id, { entry: { ...entry, artifacts }, trace });
  }
  return files;
}

/** Makes everything again that was kept, and lets it go on. */
export function restoreState(parts: {
  readonly core: Core;
  readonly groups: ResourceGroups;
  readonly kept: KeptState;
  readonly files: ReadonlyMap<number, JobFiles>;
  readonly pipelines: Map<number, PipelineRun>;
}): void {
  const { core, groups, kept, files, pipelines } = parts;
  for (const entry of kept.runners.values()) core.runners.restore(entry);
  if (kept.lastRunnerId > 0) core.runners.reserve(kept.lastRunnerId);

  const jobsOf = new Map<number, KeptJob[]>();
  for (const [id, { origin }] of kept.jobs) {
    const found = files.get(id);
    if (found === undefined) continue;
    if (origin.kind === "single") restoreSingleJob(core, origin.job, found.entry, found.trace);
    else {
      const siblings = jobsOf.get(origin.pipelineId) ?? [];
      jobsOf.set(origin.pipelineId, siblings);
      siblings.push({ name: origin.name, retryOf: origin.retryOf, ...found });
    }
  }
  const restored = [...kept.pipelines].map(([id, pipeline]) =>
    restorePipeline(core, groups, { ...pipeline, jobs: jobsOf.get(id) ?? [] }),
  );
  for (const { run } of restored) pipelines.set(run.id, run);
  groups.restore(restored.flatMap(({ claims }) => claims));
  core.jobs.resume();
  for (const record of core.jobs.all) awaitRunner(core, record);
  for (const { resume } of restored) resume();
}

/** A runner that has not confirmed its job gets the whole time for it again. */
function awaitRunner(core: Core, record: JobRecord): void {
  if (record.state === "held") awaitConfirmation(core, record);
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

async function removePartialFiles(folder: string): Promise<void> {
  let names: readonly string[];
  try {
    names = await readdir(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  const partial = names.filter((name) => name.endsWith(".partial"));
  await Promise.all(partial.map((name) => rm(join(folder, name), { force: true })));
}
