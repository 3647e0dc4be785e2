import type { ChildProcess } from "node:child_process";
import type { Readable, Writable } from "node:stream";

import { GitFailedError, GitNotFoundError } from "../errors.ts";
import type { JobLog } from "../job-log.ts";
import type { Sleep, Spawn } from "../options.ts";

/** Runs git for one job. */
export interface Git {
  /**
   * Runs one command; what it prints goes to the job's log.
   *
   * @param args - the subcommand is the first one that is no option
   * @throws {GitFailedError} exit other than 0
   * @throws {GitNotFoundError}
   * @throws `signal.reason`
   */
  run(args: readonly string[], options?: GitRunOptions): Promise<void>;
  /** Ends the streams of the log. */
  close(): Promise<void>;
}

interface GitRunOptions {
  /** @default the project */
  readonly directory?: string;
  /** Text for standard input. @default none */
  readonly input?: string;
}

export interface GitOptions {
  readonly directory: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly stdout: Writable;
  readonly stderr: Writable;
  readonly log: JobLog & { flush(): Promise<void> };
  readonly signal: AbortSignal;
  readonly spawn: Spawn;
  readonly sleep: Sleep;
}

export function openGit(options: GitOptions): Git {
  return {
    run: (args, run = {}) => runGit(args, run, options),
    close: async () => {
      await Promise.all([end(options.stdout), end(options.stderr)]);
    },
  };
}

/** Time between asking git to end and killing it; it removes its locks when it is asked. */
const KILL_GRACE_MS = 5_000;

/** Time for which a daemon that git started may hold the output open after git's own end. */
const OUTPUT_GRACE_MS = 1_000;

async function runGit(args: readonly string[], run: GitRunOptions, options: GitOptions): Promise<void> {
  const { signal } = options;
  signal.throwIfAborted();
  await options.log.flush();
  const child = options.spawn("git", args, {
    cwd: run.directory ?? options.directory,
    env: options.environment,
    // Git starts helpers of its own; one signal to the group ends them all.
    detached: true,
    stdio: [run.input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
  });
  const exited = exitOf(child);
  if (run.input !== undefined) child.stdin?.end(run.input);
  // A git that ends without reading is told by its exit code.
  child.stdin?.on("error", () => undefined);
  const carried = Promise.all([carry(child.stdout, options.stdout), carry(child.stderr, options.stderr)]);
  const over = new AbortController();
  const stop = (): void => void stopGroup(child, options.sleep, over.signal);
  signal.addEventListener("abort", stop, { once: true });
  try {
    const exit = await exited;
    await inTime(carried, options.sleep, child);
    signal.throwIfAborted();
    if (exit.code !== 0) throw new GitFailedError(subcommandOf(args), exit);
  } finally {
    over.abort(new Error("git has ended"));
    signal.removeEventListener("abort", stop);
  }
}

function exitOf(child: ChildProcess): Promise<{ code: number; text: string }> {
  return new Promise((resolve, reject) => {
    child.once("error", (error: NodeJS.ErrnoException) => {
      reject(error.code === "ENOENT" ? new GitNotFoundError({ cause: error }) : error);
    });
    child.once("exit", (code, signalName) => {
      resolve(code === null ? { code: -1, text: `signal: ${signalName}` } : { code, text: `exit status ${code}` });
    });
  });
}

async function carry(source: Readable | null | undefined, destination: Writable): Promise<void> {
  // A git that could not be started may have no pipes.
  if (source === null || source === undefined) return;
  try {
    for await (const chunk of source) {
      await new Promise<void>((resolve) => {
        destination.write(chunk, () => resolve());
      });
    }
  } catch (error) {
    // Destroyed because its writer would not let go of it.
    if (!source.destroyed) throw error;
  }
}

async function inTime(carried: Promise<unknown>, sleep: Sleep, child: ChildProcess): Promise<void> {
  const timer = new AbortController();
  const late = sleep(OUTPUT_GRACE_MS, timer.signal).then(
    () => {
      child.stdout?.destroy();
      child.stderr?.destroy();
    },
    () => undefined,
  );
  try {
    await Promise.race([carried, late]);
  } finally {
    timer.abort(new Error("no longer needed"));
  }
}

async function stopGroup(child: ChildProcess, sleep: Sleep, over: AbortSignal): Promise<void> {
  signalGroup(child, "SIGTERM");
  await sleep(KILL_GRACE_MS, over).catch(() => undefined);
  signalGroup(child, "SIGKILL");
}

function signalGroup(child: ChildProcess, name: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, name);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    // Gone already, or nothing but zombies.
    if (code !== "ESRCH" && code !== "EPERM") throw error;
  }
}

function subcommandOf(args: readonly string[]): string {
  let index = 0;
  while (args[index] === "-c") index += 2;
  return args[index] ?? "";
}

function end(stream: Writable): Promise<void> {
  return new Promise((resolve) => {
    stream.end(resolve);
  });
}
