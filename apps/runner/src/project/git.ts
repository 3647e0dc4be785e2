import { spawn } from "node:child_process";
import { UsageError } from "../errors.ts";

/** Runs git and resolves to what it printed. */
export type Git = (args: readonly string[], options?: GitOptions) => Promise<string>;

interface GitOptions {
  readonly environment?: Readonly<Record<string, string>>;
  readonly input?: string;
}

/** For commands whose complaints are read here: git speaks English, and programs that it starts keep the rest of the locale. */
export const ENGLISH: Readonly<Record<string, string>> = { LANGUAGE: "en" };

/** git ended with an error. */
export class GitError extends Error {
  override readonly name = "GitError";
  readonly exitCode: number;
  /** What git said. */
  readonly output: string;

  constructor(args: readonly string[], exitCode: number, output: string) {
    super(`git ${args.join(" ")}: ${output.trim() || `exit code ${exitCode}`}`);
    this.exitCode = exitCode;
    this.output = output;
  }
}

/**
 * An environment without the variables that tie git to one repository and its index. git sets them for its hooks, where they would
 * make every git command, ours and those of the jobs, work on the repository of the user.
 *
 * @see https://git-scm.com/docs/git-rev-parse#Documentation/git-rev-parse.txt---local-env-vars
 */
export function withoutRepositoryVariables(environment: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !REPOSITORY_VARIABLES.has(name)));
}

const REPOSITORY_VARIABLES = new Set([
  "GIT_ALTERNATE_OBJECT_DIRECTORIES",
  "GIT_COMMON_DIR",
  "GIT_CONFIG",
  "GIT_CONFIG_COUNT",
  "GIT_CONFIG_PARAMETERS",
  "GIT_DIR",
  "GIT_GRAFT_FILE",
  "GIT_IMPLICIT_WORK_TREE",
  "GIT_INDEX_FILE",
  "GIT_INTERNAL_SUPER_PREFIX",
  "GIT_NO_REPLACE_OBJECTS",
  "GIT_OBJECT_DIRECTORY",
  "GIT_PREFIX",
  "GIT_REPLACE_REF_BASE",
  "GIT_SHALLOW_FILE",
  "GIT_WORK_TREE",
  // Not in git's list: a hook that runs before a push is accepted may not write into any repository while this is set.
  "GIT_QUARANTINE_PATH",
]);

/**
 * Makes a function that runs git in a folder.
 *
 * @throws {UsageError} (the function) there is no git on the PATH
 * @throws {GitError} (the function) git ended with another exit code than 0
 */
export function createGit(directory: string, environment: Readonly<Record<string, string>>, signal: AbortSignal): Git {
  return (args, options = {}) =>
    new Promise((resolve, reject) => {
      const child = spawn("git", args, { cwd: directory, env: { ...environment, ...options.environment }, signal });
      const output: Buffer[] = [];
      const complaints: Buffer[] = [];
      child.on("error", (error) => reject(signal.aborted ? signal.reason : startFailure(error, directory)));
      if (!hasPipes(child)) return;
      child.stdout.on("data", (piece: Buffer) => output.push(piece));
      child.stderr.on("data", (piece: Buffer) => complaints.push(piece));
      child.on("close", (code) => {
        if (code === 0) resolve(Buffer.concat(output).toString("utf8"));
        else reject(new GitError(args, code ?? -1, Buffer.concat(complaints).toString("utf8")));
      });
      // git may end without reading its input; what it could not take is no fault of ours.
      child.stdin.on("error", (error: NodeJS.ErrnoException) => {
        if (error.code !== "EPIPE") reject(error);
      });
      child.stdin.end(options.input ?? "");
    });
}

/** A host without file descriptors left gives neither a process nor pipes, and says so a moment later. */
function hasPipes({ stdout }: { readonly stdout: unknown }): boolean {
  return stdout !== undefined;
}

function startFailure(error: NodeJS.ErrnoException, directory: string): Error {
  if (error.code === "EMFILE" || error.code === "ENFILE") {
    return new UsageError("git could not be started: too many files are open.", {
      cure: "Raise the limit of open files, for example with ulimit -n 1024, and try again.",
      cause: error,
    });
  }
  if (error.code !== "ENOENT") return error;
  return new UsageError(`git could not be started in ${directory}: it is not on the PATH.`, {
    cure: "Install git, or put it on the PATH, and try again.",
    cause: error,
  });
}
