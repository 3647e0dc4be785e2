import { GitFailedError } from "../errors.ts";
import type { Environment } from "../executor.ts";
import type { PreparedJob } from "../job-context.ts";
import { runScript } from "../script/run-commands.ts";
import { DEFAULT_VERSION, goArchitecture, goPlatform } from "../variables/collect-variables.ts";
import { SIDE_CONFIG, sideConfig, templateConfig } from "./git-config.ts";
import { readSourceSettings, repositoryAccessOf } from "./source-settings.ts";
import { cleanScript, clearScript, removeScript, sourcesScript } from "./sources-script.ts";
import { words } from "./submodules.ts";

type Helper = Pick<Environment, "run">;

/**
 * Brings the project to the job's commit beside the scripts' files, where another git than this host's works. It is one script,
 * because each start of a container takes longer than all that git does.
 *
 * Whatever a job may have left in the working copy, or say in its variables, reaches that place only; so git gets all of them.
 *
 * @throws {GitFailedError} its output is in the log
 * @see job-execution 1.8
 */
export async function fetchSourcesBeside(job: PreparedJob, helper: Helper, signal: AbortSignal): Promise<void> {
  const { payload, plan, runner, variables } = job;
  const { program = "fleetfoot", version = DEFAULT_VERSION } = runner;
  const { project, temporary } = plan.directories;
  const { lookup } = variables;
  const access = repositoryAccessOf(job);
  const sideConfigPath = `${temporary}/${SIDE_CONFIG}`;
  const { git_info: gitInfo } = payload;
  const extra = lookup("GIT_FETCH_EXTRA_FLAGS");
  const script = sourcesScript({
    project,
    temporary,
    removesFirst: plan.strategy === "clone",
    cleansConfig: runner.cleanGitConfig === true,
    sideConfigPath,
    sideConfig: sideConfig({
      access,
      correlationId: lookup("CI_JOB_ID") ?? String(payload.id),
      credentialHelper: plan.flags.FF_GIT_URLS_WITHOUT_TOKENS,
      tls: {
        authority: lookup("CI_SERVER_TLS_CA_FILE"),
        certificate: lookup("CI_SERVER_TLS_CERT_FILE"),
        key: lookup("CI_SERVER_TLS_KEY_FILE"),
      },
      instance: /^https?:\/\/[^/]+/.exec(runner.url)?.[0],
    }),
    templateConfig: templateConfig(access, sideConfigPath),
    remote: access.remote,
    objectFormat: gitInfo.repo_object_format,
    userAgent: `${program} ${version} ${goPlatform()}/${goArchitecture()}`,
    refspecs: gitInfo.refspecs ?? [],
    depth: gitInfo.depth ?? 0,
    fetchFlags: extra === undefined || extra === "" ? ["--prune", "--quiet"] : words(extra),
    ref: gitInfo.ref,
    sha: gitInfo.sha,
    settings: readSourceSettings(job),
  });
  // Files of certificates may be among the job's variables.
  await job.environment.workspace.publish({ signal });
  await runBeside(job, helper, script, signal);
}

/** Removes everything but the repository itself. */
export function clearWorktreeBeside(job: PreparedJob, helper: Helper, signal: AbortSignal): Promise<void> {
  return runBeside(job, helper, clearScript(job.plan.directories.project), signal);
}

/** Removes the project as it was left by the job before. */
export function removeProject(job: PreparedJob, helper: Helper, signal: AbortSignal): Promise<void> {
  return runBeside(job, helper, removeScript(job.plan.directories.project), signal);
}

/** Leaves the working copy as the next job wants it, and nothing secret in it. */
export function cleanSourcesBeside(job: PreparedJob, helper: Helper, signal: AbortSignal): Promise<void> {
  const { project, temporary } = job.plan.directories;
  const { strategy, flags } = job.plan;
  const script = cleanScript({
    project,
    temporary,
    cleansConfig: strategy !== "none" && job.runner.cleanGitConfig === true,
    cleanup: strategy === "none" || !flags.FF_ENABLE_JOB_CLEANUP ? "keep" : strategy === "fetch" ? "reset" : "remove",
  });
  return runBeside(job, helper, script, signal);
}

async function runBeside(job: PreparedJob, place: Helper, script: string, signal: AbortSignal): Promise<void> {
  const exit = await runScript(job, script, { place, signal });
  if (exit.code !== 0) throw new GitFailedError("in the helper image", exit);
}
