import { rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { makeEmptyFolder } from "../empty-folder.ts";

/** Where a runner keeps what it needs only while jobs run, and what a later process needs when it is killed. All paths are absolute. */
export interface StateDirectory {
  /** Records of jobs whose end the coordinator may not know. */
  readonly jobs: string;
  /** Notes of the process groups that run. */
  readonly processes: string;
  /** Logs of jobs without a record. */
  readonly logs: string;
  /** What could not be used. */
  readonly aside: string;
  /** Removes what is of no use to a later process. */
  close(): Promise<void>;
}

/**
 * Makes it where it is missing, this user's only. The caller has made sure that nobody else uses it.
 *
 * @throws {Error} it cannot be made
 */
export async function openStateDirectory(path: string): Promise<StateDirectory> {
  const [jobs, processes, logs, aside] = ["jobs", "processes", "logs", "aside"].map((name) => join(path, name)) as [
    string,
    string,
    string,
    string,
  ];
  await makeEmptyFolder(logs);
  return {
    jobs,
    processes,
    logs,
    aside,
    async close() {
      await rm(logs, { recursive: true, force: true });
      for (const directory of [jobs, processes, path]) await removeIfEmpty(directory);
    },
  };
}

async function removeIfEmpty(path: string): Promise<void> {
  try {
    await rmdir(path);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code !== "ENOTEMPTY" && code !== "ENOENT" && code !== "EEXIST") throw error;
  }
}
