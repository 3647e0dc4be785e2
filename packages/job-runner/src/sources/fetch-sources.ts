import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { GitFailedError } from "../errors.ts";
import type { PreparedJob } from "../job-context.ts";
import { readPlainFile } from "../plain-files.ts";
import { removeTree } from "../remove-tree.ts";
import { toHostPath } from "../stages/host-paths.ts";
import { DEFAULT_VERSION, goArchitecture, goPlatform } from "../variables/collect-variables.ts";
import { cleanWorkingCopy } from "./clean-working-copy.ts";
import { forgetFetch, isFetched, rememberFetch } from "./fetched-before.ts";
import { KeptTrees } from "../cache/index.ts";
import { SIDE_CONFIG, isUpToDate, sideConfig, templateConfig } from "./git-config.ts";
import { gitEnvironment, withoutBorrowingFlags, withoutProgramFlags } from "./git-environment.ts";
import { openGit } from "./git.ts";
import type { Git } from "./git.ts";
import { hasLargeFileSupport } from "./large-files.ts";
import { removePlantedRepository } from "./planted-repository.ts";
import { removePlantedSubmodules } from "./planted-submodules.ts";
import type { RepositoryAccess } from "./repository-url.ts";
import { readSourceSettings, repositoryAccessOf } from "./source-settings.ts";
import type { SourceSettings } from "./source-settings.ts";
import { updateSubmodules, words } from "./submodules.ts";
import type { SubmoduleSettings } from "./submodules.ts";
import {
  ATTRIBUTES_NOTICE,
  clearWorktree,
  exists,
  inspectWorkingCopy,
  removeMarks,
  removeSettings,
  removeStaleLocks,
} from "./working-copy.ts";
import type { WorkingCopy } from "./working-copy.ts";

/**
 * Brings the project directory to the job's commit: initialises where needed, fetches, checks out, cleans.
 *
 * Every process start is felt by short jobs, so what can be had from files is not asked of git.
 *
 * @see job-execution 1.8
 */
export async function fetchSources(job: PreparedJob, signal: AbortSignal): Promise<void> {
  const { project, temporary } = job.environment.workspace.directories;
  const access = repositoryAccessOf(job);
  const settings = readSourceSettings(job);
  if (job.plan.strategy === "clone") await removeTree(project);
  await mkdir(project, { recursive: true });
  const git = openJobGit(job, project, signal);
  try {
    await clearOldTraces(job, git, project, settings);
    const before = await inspectWorkingCopy(project);
    const sideConfigPath = await writeSideConfig(job, access, temporary);
    await initialise(git, {
      before,
      project,
      temporary,
      access,
      sideConfigPath,
      format: job.payload.git_info.repo_object_format,
    });
    await fetchUnlessThere(job, git, project, before);
    try {
      await checkOut(job, git, settings, before);
    } catch (error) {
      // Something may be missing after all; a further try must not rely on what is here.
      await forgetFetch(project);
      throw error;
    }
    if (!before.empty) {
      // Their repositories have gone with one that was made anew; no job has done that.
      const log = before.usable ? job.log : undefined;
      await removePlantedSubmodules(project, { deep: settings.submodules.strategy !== "none", log });
    }
    const lfs = !settings.userSkipsSmudge && (await hasLargeFileSupport(job.hostEnvironment["PATH"]));
    if (lfs && settings.checkout) await git.run(["lfs", "pull"]);
    await updateSubmodules({ ...submoduleSettings(job, settings), git, project, sideConfigPath, lfs, log: job.log });
    await forgetCredentials(git, access, signal);
  } finally {
    await git.close();
  }
}

function keptTrees(job: PreparedJob): KeptTrees {
  return new KeptTrees(job.environment.workspace.directories.project, job.payload.id, job.log);
}

async function clearOldTraces(
  job: PreparedJob,
  git: Git,
  project: string,
  { submodules }: SourceSettings,
): Promise<void> {
  if (job.plan.strategy === "clone") return;
  const cleans = job.runner.cleanGitConfig === true;
  await removePlantedRepository(project, { cleans, borrows: !cleans || submodules.borrows, log: job.log });
  const modules = await exists(join(project, ".git", "modules"));
  await removeStaleLocks(project, modules);
  if (!cleans) return;
  await removeSettings(project, modules);
  await removeMarks(project, modules, (repository) => succeeds(git.run(PLAIN_INDEX, { directory: repository })));
}

const PLAIN_INDEX = ["update-index", "--no-split-index", "--index-version", "2"];

async function writeSideConfig(job: PreparedJob, access: RepositoryAccess, temporary: string): Promise<string> {
  const { lookup } = job.variables;
  const hostPath = (name: string): string | undefined => {
    const path = lookup(name);
    return path === undefined ? undefined : toHostPath(job, path);
  };
  const path = join(temporary, SIDE_CONFIG);
  const text = sideConfig({
    access,
    correlationId: lookup("CI_JOB_ID") ?? String(job.payload.id),
    credentialHelper: job.plan.flags.FF_GIT_URLS_WITHOUT_TOKENS,
    tls: {
      authority: hostPath("CI_SERVER_TLS_CA_FILE"),
      certificate: hostPath("CI_SERVER_TLS_CERT_FILE"),
      key: hostPath("CI_SERVER_TLS_KEY_FILE"),
    },
    instance: /^https?:\/\/[^/]+/.exec(job.runner.url)?.[0],
  });
  await writeFile(path, text, { mode: 0o600 });
  return path;
}

function openJobGit(job: PreparedJob, project: string, signal: AbortSignal): Git {
  return openGit({
    directory: project,
    environment: gitEnvironment(job),
    stdout: job.trace.openStream({ source: "job", channel: "stdout" }),
    stderr: job.trace.openStream({ source: "job", channel: "stderr" }),
    log: job.log,
    signal,
    spawn: job.spawn,
    sleep: job.sleep,
  });
}

interface InitialiseOptions {
  readonly before: WorkingCopy;
  readonly project: string;
  readonly temporary: string;
  readonly access: RepositoryAccess;
  readonly sideConfigPath: string;
  readonly format: string | undefined;
}

/** A fresh repository gets address and settings by its template; an old one usually has them. */
async function initialise(git: Git, options: InitialiseOptions): Promise<void> {
  const { before, project, temporary, access, sideConfigPath, format } = options;
  if (!before.usable) {
    const template = join(temporary, "git-template");
    await mkdir(template, { recursive: true });
    await writeFile(join(template, "config"), templateConfig(access, sideConfigPath));
    const objects = format === undefined || format === "" || format === "sha1" ? [] : ["--object-format", format];
    await git.run(["init", "--quiet", "--template", template, ...objects, project]);
  }
  const config = await readPlainFile(join(project, ".git", "config"));
  if (config !== undefined && isUpToDate(config, access, sideConfigPath)) return;
  await git.run(["config", "--replace-all", "remote.origin.url", access.remote]);
  await git.run(["config", "--replace-all", "include.path", sideConfigPath]);
}

async function fetchUnlessThere(job: PreparedJob, git: Git, project: string, before: WorkingCopy): Promise<void> {
  const { git_info: gitInfo } = job.payload;
  const hasOwnFlags = Boolean(job.variables.lookup("GIT_FETCH_EXTRA_FLAGS"));
  if (before.usable && !hasOwnFlags && (await isFetched(project, gitInfo))) {
    job.log.notice("The commit is here already, nothing to fetch.");
    return;
  }
  job.log.notice(gitInfo.depth ? `Fetching changes with git depth set to ${gitInfo.depth}...` : "Fetching changes...");
  if (!before.usable) job.log.notice("Created fresh repository.");
  await forgetFetch(project);
  await fetch(job, git, project, before);
  await rememberFetch(project, gitInfo);
}

async function fetch(job: PreparedJob, git: Git, project: string, before: WorkingCopy): Promise<void> {
  const { depth = 0, refspecs = [] } = job.payload.git_info;
  const { program = "fleetfoot", version = DEFAULT_VERSION } = job.runner;
  const extra = job.variables.lookup("GIT_FETCH_EXTRA_FLAGS");
  await git.run([
    // A fresh repository needs no tidying, and looking for it is one more process.
    ...(before.usable ? [] : ["-c", "maintenance.auto=false"]),
    "-c",
    `http.userAgent=${program} ${version} ${goPlatform()}/${goArchitecture()}`,
    "fetch",
    "origin",
    "--no-recurse-submodules",
    ...refspecs,
    ...(depth > 0 ? ["--depth", String(depth)] : []),
    ...(depth === 0 && (await exists(join(project, ".git", "shallow"))) ? ["--unshallow"] : []),
    ...(extra === undefined || extra === "" ? ["--prune", "--quiet"] : fetchFlags(job, extra)),
  ]);
}

function fetchFlags({ environment }: PreparedJob, flags: string): string[] {
  return environment.workspace.isolated === true ? withoutProgramFlags(words(flags)) : words(flags);
}

function submoduleSettings({ environment }: PreparedJob, { submodules }: SourceSettings): SubmoduleSettings {
  if (environment.workspace.isolated !== true) return submodules;
  return { ...submodules, updateFlags: withoutBorrowingFlags(submodules.updateFlags) };
}

async function checkOut(job: PreparedJob, git: Git, settings: SourceSettings, before: WorkingCopy): Promise<void> {
  const { ref, sha } = job.payload.git_info;
  if (!settings.checkout) {
    job.log.notice("Skipping Git checkout");
    return;
  }
  job.log.notice(`Checking out ${sha.slice(0, 8)} as detached HEAD (ref is ${ref})...`);
  // What was empty holds nothing afterwards but the checkout.
  const cleans = !settings.skipClean && !before.empty;
  // Flags of the job's own may mean to clean away just these.
  const kept = cleans && !settings.hasOwnCleanFlags ? await keptTrees(job).choose(job.payload.cache) : [];
  await checkOutCommit(job, git, before);
  if (!cleans) return;
  const { project } = job.environment.workspace.directories;
  const clean = ["clean", ...settings.cleanFlags, ...kept.flatMap((path) => ["-e", `/${path}`])];
  let hadAttributes = false;
  const onLine = (line: string): void => {
    hadAttributes ||= ATTRIBUTES.test(line);
  };
  await cleanWorkingCopy(project, kept, () => git.run(clean, { onLine }));
  if (!hadAttributes) return;
  job.log.notice(ATTRIBUTES_NOTICE);
  await removeTree(join(project, ".git", "index"));
  await checkOutCommit(job, git, before);
}

/** Removed beside files of the commit: git names a folder without any as a whole. In some languages more words follow. */
const ATTRIBUTES = /\.gitattributes(?![\w./-])/;

async function succeeds(command: Promise<void>): Promise<boolean> {
  try {
    await command;
    return true;
  } catch (error) {
    if (error instanceof GitFailedError) return false;
    throw error;
  }
}

/** Git gives up where a job has put a link in the place of a folder with a submodule; without any old file there is no such thing. */
async function checkOutCommit(job: PreparedJob, git: Git, before: WorkingCopy): Promise<void> {
  const checkout = ["-c", "submodule.recurse=false", "checkout", "-f", "-q", job.payload.git_info.sha];
  try {
    await git.run(checkout);
  } catch (error) {
    const { sha } = job.payload.git_info;
    if (before.empty || !(error instanceof GitFailedError)) throw error;
    if (!(await succeeds(git.run(["cat-file", "-e", `${sha}^{commit}`])))) throw error;
    job.log.warning("The commit cannot be checked out over the files of the job before, so these are removed.");
    const { project } = job.environment.workspace.directories;
    await clearWorktree(project);
    await removeTree(join(project, ".git", "index"));
    await git.run(checkout);
  }
}

/** Git tells the helpers of the host about credentials that worked; this makes them forget the job's. */
async function forgetCredentials(git: Git, { credentialScope }: RepositoryAccess, signal: AbortSignal): Promise<void> {
  if (credentialScope === undefined) return;
  try {
    await git.run(["credential", "reject"], { input: `url=${credentialScope}\nusername=gitlab-ci-token\n\n` });
  } catch {
    // No helper, nothing to forget; the job has its sources either way.
    signal.throwIfAborted();
  }
}
