import type { CommandAction } from "../command.ts";
import { createGit, withoutRepositoryVariables } from "../project/git.ts";
import { containerWarnings } from "../exec/container-warnings.ts";
import { printJobs, printJobsAsJson } from "../exec/list.ts";
import { lockState } from "../project/lock-state.ts";
import { readExecOptions } from "../exec/options.ts";
import { readProject } from "../project/project.ts";
import { checkProjectDirectory } from "../project/project-directory.ts";
import { secretWarnings } from "../project/secret-warnings.ts";
import { makeStateDirectory } from "../project/state-directory.ts";

/** Runs, or lists, the pipeline of a project on this machine. */
export const exec: CommandAction = async (invocation, given) => {
  const context = { ...given, environment: withoutRepositoryVariables(given.environment) };
  const options = readExecOptions(invocation, context);
  const { forced } = context.stop;
  await checkProjectDirectory(options.directory);
  const git = createGit(options.directory, context.environment, forced);
  const listing = invocation.flag("list");
  // Modules load while git answers; what runs a pipeline is not needed to list one.
  const running = listing ? undefined : import("../exec/run-pipeline.ts");
  const [project, { describeProblems, planPipeline }] = await Promise.all([
    readProject(options.directory, git),
    import("../project/plan.ts"),
  ]);
  const planned = await planPipeline(options, project, git, forced);
  const ofContainers = options.executor === "shell" ? containerWarnings(planned.pipeline.jobs) : [];
  const plan = { ...planned, warnings: [...planned.warnings, ...ofContainers] };
  if (plan.warnings.length > 0) context.stderr.write(`${describeProblems(plan.warnings)}\n`);
  const names = [...plan.pipeline.jobs.map((job) => job.name), plan.facts.commit.ref];
  for (const warning of secretWarnings(options.variables, names)) context.stderr.write(`WARNING: ${warning}\n`);

  if (running === undefined) {
    (invocation.flag("json") ? printJobsAsJson : printJobs)(plan.pipeline, context.stdout);
    return 0;
  }
  const { runPipeline } = await running;
  await makeStateDirectory(options.stateDirectory);
  const lock = await lockState(options.stateDirectory, "pipeline");
  try {
    return await runPipeline({ options, plan, git, context });
  } finally {
    await lock.release();
  }
};
