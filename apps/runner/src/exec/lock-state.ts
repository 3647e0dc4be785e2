import { join } from "node:path";
import { UsageError } from "../errors.ts";
import { type Lock, LockedError, acquireLock } from "../lock.ts";

/**
 * Takes the state of local runs for this process alone.
 *
 * @throws {UsageError} a pipeline runs there
 */
export async function lockState(stateDirectory: string): Promise<Lock> {
  try {
    return await acquireLock(join(stateDirectory, "lock"));
  } catch (error) {
    if (!(error instanceof LockedError)) throw error;
    throw new UsageError(`Process ${error.processId} runs a pipeline in ${stateDirectory} already.`, {
      cure: "Wait for it, or name a folder of its own with --state-dir.",
      cause: error,
    });
  }
}
