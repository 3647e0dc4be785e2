import { join } from "node:path";
import { LockHeldError } from "@fleetfoot/directory-lock";
import type { DirectoryLock } from "@fleetfoot/directory-lock";
import { UsageError } from "../errors.ts";
import { takeLock } from "../lock.ts";

/** What a process that has the lock does with the folder, and what helps somebody who wants it, too. */
const HOLDERS = {
  pipeline: { does: "runs a pipeline in", cure: "Wait for it, or name a folder of its own with --state-dir." },
  coordinator: {
    does: "is a coordinator with",
    cure: "Stop it, or give this one a folder of its own with --state-dir.",
  },
} as const;

/**
 * Takes a state folder for this process alone.
 *
 * @throws {UsageError} another process has it
 */
export async function lockState(stateDirectory: string, holder: keyof typeof HOLDERS): Promise<DirectoryLock> {
  try {
    return await takeLock(join(stateDirectory, "lock"));
  } catch (error) {
    if (!(error instanceof LockHeldError)) throw error;
    const { does, cure } = HOLDERS[holder];
    throw new UsageError(`${error.holder.replace(/^p/, "P")} ${does} ${stateDirectory} already.`, {
      cure,
      cause: error,
    });
  }
}
