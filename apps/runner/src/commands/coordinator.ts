import { join } from "node:path";
import type { CommandAction } from "../command.ts";
import { UsageError } from "../errors.ts";
import { createGit, withoutRepositoryVariables } from "../exec/git.ts";
import { checkProjectDirectory } from "../exec/project-directory.ts";
import { makeStateDirectory } from "../exec/state-directory.ts";
import { type Lock, LockedError, acquireLock } from "../lock.ts";
import { readServeOptions } from "../serve/options.ts";
import { servePipeline } from "../serve/serve-pipeline.ts";

/** Gives the jobs of a project's pipeline to runners that ask for them. */
export const coordinator: CommandAction = async (invocation, given) => {
  const context = { ...given, environment: withoutRepositoryVariables(given.environment) };
  const options = await readServeOptions(invocation, context);
  await checkProjectDirectory(options.directory);
  const git = createGit(options.directory, context.environment, context.stop.forced);
  await makeStateDirectory(options.stateDirectory);
  const lock = await lockState(options.stateDirectory);
  try {
    return await servePipeline({ options, git, context });
  } finally {
    await lock.release();
  }
};

async function lockState(stateDirectory: string): Promise<Lock> {
  try {
    return await acquireLock(join(stateDirectory, "lock"));
  } catch (error) {
    if (!(error instanceof LockedError)) throw error;
    throw new UsageError(`Process ${error.processId} is a coordinator with ${stateDirectory} already.`, {
      cure: "Stop it, or give this one a folder of its own with --state-dir.",
      cause: error,
    });
  }
}
