import { rm } from "node:fs/promises";

import type { Logger } from "@fleetfoot/coordinator-client";

import type { Environment } from "./executor.ts";
import type { Sleep } from "./platform.ts";
import { openScope } from "./signal-scope.ts";

/** @see job-execution 1.2, point 6 */
const CLEANUP_LIMIT_MS = 5 * 60_000;

/**
 * Releases an environment and removes the job's temporary directory, whatever has become of the job: by a signal of its own,
 * since that of the job may be aborted. Problems are the operator's, not the job's.
 */
export async function releaseEnvironment(environment: Environment, logger: Logger, sleep: Sleep): Promise<void> {
  using scope = openScope();
  scope.limit(CLEANUP_LIMIT_MS, () => new Error("the executor's cleanup took longer than 5 minutes"), sleep);
  try {
    await environment.cleanup({ signal: scope.signal });
  } catch (error) {
    logger.error("the executor's cleanup failed", { error: String(error) });
  }
  try {
    await rm(environment.workspace.directories.temporary, { recursive: true, force: true });
  } catch (error) {
    logger.error("the job's temporary directory could not be removed", { error: String(error) });
  }
}
