import type { PreparedJob } from "../job-context.ts";

/**
 * The environment of git. Where scripts run on this host, git gets all variables of the job, as GitLab's runner gives them.
 * Where they run apart, git runs on a host that jobs have no say in: it gets those that choose how to connect and nothing else,
 * since others (`GIT_SSH_COMMAND`, `GIT_CONFIG_COUNT`, `LD_PRELOAD`, `PATH`) make it run programs.
 */
export function gitEnvironment({
  environment,
  hostEnvironment,
  variables,
}: GitJob): Record<string, string | undefined> {
  const isolated = environment.workspace.isolated === true;
  const chosen = [...variables.exported].filter(([name]) => !isolated || ALLOWED.has(name));
  return {
    ...hostEnvironment,
    ...Object.fromEntries(chosen),
    GIT_TERMINAL_PROMPT: "0",
    GCM_INTERACTIVE: "Never",
    // Fetching large files one by one during the checkout is slow; all of them are pulled after it.
    GIT_LFS_SKIP_SMUDGE: "1",
    // A job in the same working copy can have named another object in the place of one that the commit has.
    GIT_NO_REPLACE_OBJECTS: "1",
    // One of another version may hide files, and is made anew; the host's settings may ask for such for all repositories.
    GIT_INDEX_VERSION: "2",
  };
}

export type GitJob = Pick<PreparedJob, "environment" | "hostEnvironment" | "variables">;

/** Leaves out the flags of `git fetch` that name a program; git takes them in any unique abbreviation. */
export function withoutProgramFlags(flags: readonly string[]): string[] {
  return flags.filter((flag) => !flag.startsWith("--upl"));
}

/** Leaves out the flags of `git submodule update` that name a repository of this host, whose objects would be used. */
export function withoutBorrowingFlags(flags: readonly string[]): string[] {
  return flags.filter((flag, index) => !flag.startsWith("--ref") && !/^--ref[a-z-]*$/.test(flags[index - 1] ?? ""));
}

const ALLOWED: ReadonlySet<string> = new Set([
  // What the credential helper of FF_GIT_URLS_WITHOUT_TOKENS reads.
  "CI_JOB_TOKEN",
  "GIT_HTTP_LOW_SPEED_LIMIT",
  "GIT_HTTP_LOW_SPEED_TIME",
  "GIT_HTTP_MAX_REQUESTS",
  "GIT_SSL_NO_VERIFY",
  ...["http_proxy", "https_proxy", "all_proxy", "no_proxy"].flatMap((name) => [name, name.toUpperCase()]),
]);
