import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";

import { JobInterrupted } from "../interruption.ts";
import type { PreparedJob } from "../job-context.ts";
import { removeTree } from "../remove-tree.ts";
import { runCommands } from "../script/run-commands.ts";
import { clearWorktreeBeside, fetchSourcesBeside, removeProject } from "../sources/fetch-beside.ts";
import { fetchSources } from "../sources/fetch-sources.ts";
import { clearWorktree } from "../sources/working-copy.ts";
import { withRetries } from "./retry.ts";
import { inStage } from "./stage.ts";

/** Puts the sources where the job wants them. One limit of time holds for all tries together. */
export async function getSources(job: PreparedJob): Promise<void> {
  using branch = job.signals.branch(limitMs(job), () => JobInterrupted.stageTimeout("get_sources"));
  const { signal } = branch;
  const retries = {
    attempts: job.plan.settings.getSourcesAttempts,
    signal,
    beforeSecond: () => clearBeforeRetry(job, signal),
  };
  await withRetries(job, retries, () =>
    inStage(job, { id: "get_sources", heading: "Getting source from Git repository" }, () =>
      provideSources(job, signal),
    ),
  );
}

async function provideSources(job: PreparedJob, signal: AbortSignal): Promise<void> {
  const { directories, helper } = job.environment.workspace;
  const { project } = directories;
  const { strategy } = job.plan;
  if (strategy === "none" || strategy === "empty") {
    const what = strategy === "none" ? "" : " and creating an empty build directory";
    job.log.notice(`Skipping Git repository setup${what}`);
    if (strategy === "empty") {
      await removeTree(project);
      if (helper !== undefined) await removeProject(job, helper, signal);
    }
    await mkdir(project, { recursive: true });
    job.log.notice("Skipping Git checkout");
    return;
  }
  await runHooks(job, "pre_get_sources_script", signal);
  if (helper === undefined) await fetchSources(job, signal);
  else await fetchSourcesBeside(job, helper, signal);
  await runHooks(job, "post_get_sources_script", signal);
}

/** The operator's hook embraces the job's: first before, last after. @see job-execution 1.7 */
async function runHooks(
  job: PreparedJob,
  name: "pre_get_sources_script" | "post_get_sources_script",
  signal: AbortSignal,
): Promise<void> {
  const own = job.payload.hooks.filter((hook) => hook.name === name).flatMap((hook) => hook.script);
  const before = name === "pre_get_sources_script";
  const configured = (before ? job.runner.preGetSourcesScript : job.runner.postGetSourcesScript) ?? "";
  const operator = configured === "" ? [] : [configured];
  const commands = before ? [...operator, ...own] : [...own, ...operator];
  if (commands.length === 0) return;
  await job.environment.workspace.publish({ signal });
  const { project } = job.plan.directories;
  const { helper: place = job.environment } = job.environment.workspace;
  // Before the sources there may be no project to run in.
  await runCommands(job, { commands, signal, directory: before ? dirname(project) : project, place });
  await job.environment.workspace.collect({ paths: [], signal });
}

function clearBeforeRetry(job: PreparedJob, signal: AbortSignal): Promise<void> {
  const heading = "Deleting all tracked and untracked files due to source fetch failure";
  const { directories, helper } = job.environment.workspace;
  return inStage(job, { id: "clear_worktree", heading }, () =>
    helper === undefined ? clearWorktree(directories.project) : clearWorktreeBeside(job, helper, signal),
  );
}

function limitMs({ runner, plan }: PreparedJob): number {
  return stageLimitMs(runner.getSourcesTimeoutMs, plan.jobTimeoutMs);
}

/** A limit of the configuration; none, a negative one and one above the job's own mean the job's. @see job-execution 1.4 */
export function stageLimitMs(configuredMs: number | undefined, jobTimeoutMs: number): number {
  return configuredMs === undefined || configuredMs <= 0 || configuredMs > jobTimeoutMs ? jobTimeoutMs : configuredMs;
}
