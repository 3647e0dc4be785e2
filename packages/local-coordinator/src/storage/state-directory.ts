import { mkdirSync, readdirSync } from "node:fs";
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { LocalCoordinatorError } from "../errors.ts";

/** Where things lie below the state directory. Ids go on where the previous coordinator stopped. */
export interface StateDirectory {
  /** File for what a later coordinator needs. */
  readonly journalPath: string;
  /** Keeps the ids of things that exist already from being given again. */
  reserve(used: { readonly jobId?: number; readonly pipelineId?: number }): void;
  nextJobId(): number;
  nextPipelineId(): number;
  /** Folder of one job; made by who first writes into it. */
  jobDirectory(id: number): string;
  /** Keeps the outcome of a pipeline for those who look at the folder later. */
  savePipeline(id: number, summary: unknown): Promise<void>;
  /** How often the caches of a project were cleared. */
  clearIndex(projectId: number): Promise<number>;
  /** Counts one more clearing; resolves with the new count. */
  clearCaches(projectId: number): Promise<number>;
}

/**
 * Opens the folder, making it readable by its owner only: logs and artifacts may hold secrets.
 *
 * @throws {LocalCoordinatorError} `state-directory`
 */
export function openStateDirectory(directory: string): StateDirectory {
  const jobs = join(directory, "jobs");
  const pipelines = join(directory, "pipelines");
  const clearings = join(directory, "cleared-caches.json");
  let lastJobId: number;
  let lastPipelineId: number;
  try {
    for (const folder of [jobs, pipelines]) mkdirSync(folder, { recursive: true, mode: 0o700 });
    lastJobId = highestNumber(readdirSync(jobs));
    lastPipelineId = highestNumber(readdirSync(pipelines));
  } catch (error) {
    throw new LocalCoordinatorError("state-directory", `cannot use state directory ${directory}`, { cause: error });
  }
  let counts: Promise<Record<string, number>> | undefined;
  const loadCounts = (): Promise<Record<string, number>> => (counts ??= readCounts(clearings));
  return {
    journalPath: join(directory, "journal.jsonl"),
    reserve: ({ jobId = 0, pipelineId = 0 }) => {
      lastJobId = Math.max(lastJobId, jobId);
      lastPipelineId = Math.max(lastPipelineId, pipelineId);
    },
    nextJobId: () => ++lastJobId,
    nextPipelineId: () => ++lastPipelineId,
    jobDirectory: (id) => join(jobs, String(id)),
    savePipeline: (id, summary) => replaceFile(join(pipelines, `${id}.json`), summary),
    clearIndex: async (projectId) => (await loadCounts())[projectId] ?? 0,
    clearCaches: async (projectId) => {
      const loaded = await loadCounts();
      const count = (loaded[projectId] ?? 0) + 1;
      loaded[projectId] = count;
      await replaceFile(clearings, loaded);
      return count;
    },
  };
}

async function readCounts(path: string): Promise<Record<string, number>> {
  try {
    return JSON.parse(await readFile(path, "utf8")) as Record<string, number>;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return {};
    throw new LocalCoordinatorError("state-directory", `cannot read ${path}`, { cause: error });
  }
}

async function replaceFile(path: string, value: unknown): Promise<void> {
  await writeFile(`${path}.new`, `${JSON.stringify(value, undefined, 2)}\n`, { mode: 0o600 });
  await rename(`${path}.new`, path);
}

function highestNumber(names: readonly string[]): number {
  return names.reduce((highest, name) => Math.max(highest, Number.parseInt(name, 10) || 0), 0);
}
