import type { CommandAction } from "../command.ts";
import { LockedError, acquireLock } from "../lock.ts";
import { UsageError } from "../errors.ts";
import { createGit, withoutRepositoryVariables } from "../exec/git.ts";
import { printJobs, printJobsAsJson } from "../exec/list.ts";
import { readExecOptions } from "../exec/options.ts";
import { describeProblems, planPipeline } from "../exec/plan.ts";
import { checkProjectDirectory } from "../exec/project-directory.ts";
import { secretWarnings } from "../exec/secret-warnings.ts";
import { makeStateDirectory } from "../exec/state-directory.ts";
import { join } from "node:path";

/** Runs, or lists, the pipeline of a project on this machine. */
export const exec: CommandAction = async (invocation, given) => {
  const context = { ...given, environment: withoutRepositoryVariables(given.environment) };
  const options = readExecOptions(invocation, context);
  const { forced } = context.stop;
  await checkProjectDirectory(options.directory);
  const git = createGit(options.directory, context.environment, forced);
  const plan = await planPipeline(options, git, forced);
  if (plan.warnings.length > 0) context.stderr.write(`${describeProblems(plan.warnings)}\n`);
  const names = [...plan.pipeline.jobs.map((job) => job.name), plan.facts.commit.ref];
  for (const warning of secretWarnings(options.variables, names)) context.stderr.write(`WARNING: ${warning}\n`);

  if (invocation.flag("list")) {
    (invocation.flag("json") ? printJobsAsJson : printJobs)(plan.pipeline, context.stdout);
    return 0;
  }
  // What runs a pipeline is loaded only here: listing one must not wait for it.
  const { runPipeline } = await import("../exec/run-pipeline.ts");
  await makeStateDirectory(options.stateDirectory);
  const lock = await lockState(options.stateDirectory);
  try {
    return await runPipeline({ options, plan, git, context });
  } finally {
    await lock.release();
  }
};

async function lockState(stateDirectory: string): ReturnType<typeof acquireLock> {
  try {
    return await acquireLock(join(stateDirectory, "lock"));
  } catch (error) {
    if (!(error instanceof LockedError)) throw error;
    throw new UsageError(`Process ${error.processId} runs a pipeline in ${stateDirectory} already.`, {
      cure: "Wait for it, or give this run a folder of its own with --state-dir.",
      cause: error,
    });
  }
}
