import { constants } from "node:fs";
import { appendFile } from "node:fs/promises";
import { join } from "node:path";

import { GitFailedError, JobConfigurationError } from "../errors.ts";
import type { JobLog } from "../job-log.ts";
import { readPlainFile } from "../plain-files.ts";
import { quote } from "../script/quote.ts";
import { cleanWorkingCopy } from "./clean-working-copy.ts";
import type { Git } from "./git.ts";
import { exists, repositories } from "./working-copy.ts";

/** How a job wants its submodules. @see job-execution 1.8 */
export interface SubmoduleSettings {
  readonly strategy: "none" | "normal" | "recursive";
  /** Commits to fetch; 0 fetches all. */
  readonly depth: number;
  readonly updateFlags: readonly string[];
  /** Whether these flags name a repository on this host whose objects are used. */
  readonly borrows: boolean;
  readonly paths: readonly string[];
  readonly cleanFlags: readonly string[];
  readonly skipClean: boolean;
}

export interface SubmodulesOptions extends SubmoduleSettings {
  readonly git: Git;
  readonly project: string;
  readonly sideConfigPath: string;
  /** Whether large files are fetched as well. */
  readonly lfs: boolean;
  readonly log: JobLog;
}

/** @throws {JobConfigurationError} a value that cannot be honoured */
export function readSubmoduleSettings(
  lookup: (name: string) => string | undefined,
  project: { readonly depth: number; readonly cleanFlags: readonly string[]; readonly skipClean: boolean },
): SubmoduleSettings {
  const strategy = lookup("GIT_SUBMODULE_STRATEGY") ?? "";
  if (!["", "none", "normal", "recursive"].includes(strategy)) {
    throw new JobConfigurationError(
      `GIT_SUBMODULE_STRATEGY: expected none, normal or recursive, got ${JSON.stringify(strategy)}`,
    );
  }
  const paths = words(lookup("GIT_SUBMODULE_PATHS"));
  if (paths.some((path) => path.includes(":(exclude)"))) {
    throw new JobConfigurationError(
      "GIT_SUBMODULE_PATHS: exclusions with :(exclude) are not supported, list the paths to update",
    );
  }
  const depth = Number(lookup("GIT_SUBMODULE_DEPTH") ?? "");
  const updateFlags = words(lookup("GIT_SUBMODULE_UPDATE_FLAGS"));
  return {
    ...project,
    strategy: strategy === "normal" || strategy === "recursive" ? strategy : "none",
    depth: Number.isInteger(depth) && depth > 0 ? depth : project.depth,
    updateFlags,
    borrows: updateFlags.some((flag) => flag.startsWith("--reference")),
    paths,
  };
}

/** Splits a list as the shell does, without quoting. */
export function words(text: string | undefined): string[] {
  return (text ?? "").split(/\s+/).filter((word) => word !== "");
}

/** Brings the submodules to what the checked out commit says. */
export async function updateSubmodules(options: SubmodulesOptions): Promise<void> {
  const { git, log, project } = options;
  if (options.strategy === "none") {
    log.notice("Skipping Git submodules setup");
    return;
  }
  log.notice(announcement(options));
  if (!(await exists(join(project, ".gitmodules")))) return;

  const recursive = options.strategy === "recursive" ? ["--recursive"] : [];
  const paths = options.paths.length > 0 ? ["--", ...options.paths] : [];
  const submodule = (...args: readonly string[]): Promise<void> =>
    git.run(["-c", `include.path=${options.sideConfigPath}`, "submodule", ...args]);
  const update = (): Promise<void> => {
    const depth = options.depth > 0 ? ["--depth", String(options.depth)] : [];
    return submodule("update", "--init", ...recursive, ...depth, ...options.updateFlags, ...paths);
  };
  const clean = (): Promise<void> =>
    submodule(
      "foreach",
      ...recursive,
      `${options.skipClean ? ":" : `git clean ${options.cleanFlags.map(quote).join(" ")}`} && git reset --hard`,
    );
  const reused = await exists(join(project, ".git", "modules"));

  await submodule("init", ...paths);
  await submodule("sync", ...recursive, ...paths);
  if (reused) await cleanWorkingCopy(project, [], clean);
  try {
    await update();
  } catch (error) {
    if (!(error instanceof GitFailedError)) throw error;
    log.warning("Updating submodules failed. Retrying...");
    if (options.updateFlags.includes("--remote")) {
      await submodule("foreach", ...recursive, "git fetch origin '+refs/heads/*:refs/remotes/origin/*'");
    }
    await submodule("sync", ...recursive, ...paths);
    await update();
    await clean();
  }
  if (reused) await clean();
  await includeSideConfig(project, options.sideConfigPath);
  if (options.lfs) await submodule("foreach", ...recursive, "git lfs pull");
}

/** So that git works in them for as long as the job lasts. */
async function includeSideConfig(project: string, sideConfigPath: string): Promise<void> {
  for (const repository of (await repositories(project, true)).slice(1)) {
    const path = join(repository, "config");
    const config = await readPlainFile(path);
    // Without settings of its own it is none that git has just worked in.
    if (config === undefined || config.includes(sideConfigPath)) continue;
    const include = `[include]\n\tpath = "${sideConfigPath.replace(/["\\]/g, "\\$&")}"\n`;
    await appendFile(path, include, { flag: constants.O_WRONLY | constants.O_APPEND | constants.O_NOFOLLOW });
  }
}

function announcement({ strategy, depth }: SubmodulesOptions): string {
  const how = strategy === "recursive" ? " recursively" : "";
  return `Updating/initializing submodules${how}${depth > 0 ? ` with git depth set to ${depth}` : ""}...`;
}
