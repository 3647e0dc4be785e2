import type { CommandAction } from "../command.ts";
import { createGit, withoutRepositoryVariables } from "../project/git.ts";
import { lockState } from "../project/lock-state.ts";
import { checkProjectDirectory } from "../project/project-directory.ts";
import { makeStateDirectory } from "../project/state-directory.ts";
import { readServeOptions } from "../serve/options.ts";
import { servePipeline } from "../serve/serve-pipeline.ts";

/** Gives the jobs of a project's pipeline to runners that ask for them. */
export const coordinator: CommandAction = async (invocation, given) => {
  const context = { ...given, environment: withoutRepositoryVariables(given.environment) };
  const options = await readServeOptions(invocation, context);
  await checkProjectDirectory(options.directory);
  const git = createGit(options.directory, context.environment, context.stop.forced);
  await makeStateDirectory(options.stateDirectory);
  const lock = await lockState(options.stateDirectory, "coordinator");
  try {
    return await servePipeline({ options, git, context });
  } finally {
    await lock.release();
  }
};
