import { join } from "node:path";

import type { PreparedJob } from "../job-context.ts";
import { removeTree } from "../remove-tree.ts";
import { cleanWorkingCopy } from "./clean-working-copy.ts";
import { openGit } from "./git.ts";
import { removePlantedRepository } from "./planted-repository.ts";
import { exists, removeSettings, removeStaleLocks } from "./working-copy.ts";

/** Leaves the working copy as the next job wants it. @see job-execution 1.8, the paragraph about stage 10 */
export async function cleanSources(job: PreparedJob): Promise<void> {
  const { project } = job.environment.workspace.directories;
  const { strategy, flags } = job.plan;
  if (strategy === "none") return;
  // Without a repository of its own git would clean that of a folder above.
  const cleans = job.runner.cleanGitConfig === true;
  if (await removePlantedRepository(project, { cleans, borrows: true, log: job.log }))
    return flags.FF_ENABLE_JOB_CLEANUP ? removeTree(project) : undefined;
  const modules = await exists(join(project, ".git", "modules"));
  await removeStaleLocks(project, modules);
  if (cleans) await removeSettings(project, modules);
  if (!flags.FF_ENABLE_JOB_CLEANUP) return;
  if (strategy === "fetch") await resetWorkingCopy(job, project);
  else await removeTree(project);
}

async function resetWorkingCopy(job: PreparedJob, project: string): Promise<void> {
  const git = openGit({
    directory: project,
    environment: job.hostEnvironment,
    stdout: job.trace.openStream({ source: "job", channel: "stdout" }),
    stderr: job.trace.openStream({ source: "job", channel: "stderr" }),
    log: job.log,
    signal: job.signals.job,
    spawn: job.spawn,
    sleep: job.sleep,
  });
  try {
    await cleanWorkingCopy(project, [], () => git.run(["clean", "-ffdx"]));
    await git.run(["reset", "--hard", "--quiet"]);
  } finally {
    await git.close();
  }
}
