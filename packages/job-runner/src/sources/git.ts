import type { ChildProcess } from "node:child_process";
import type { Readable, Writable } from "node:stream";

import { GitFailedError, GitNotFoundError } from "../errors.ts";
import type { JobLog } from "../job-log.ts";
import type { Sleep, Spawn } from "../platform.ts";

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
  /** Told each line of standard output, which goes to the job's log all the same. @default nobody is told */
  readonly onLine?: (line: string) => void;
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

/**
 * A setting by which a job could make the git of the next one in its working copy run a program, and one by which an index of parts would come to be
 * that is not trusted in the next one.
 */
const SAFE_SETTINGS = ["-c", "core.fsmonitor=false", "-c", "core.splitIndex=false"];

async function runGit(args: readonly string[], run: GitRunOptions, options: GitOptions): Promise<void> {
  const { signal } = options;
  signal.throwIfAborted();
  await options.log.flush();
  const child = options.spawn("git", [...SAFE_SETTINGS, ...args], {
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
  // In the turn of the start: what nobody reads when a short git ends is thrown away by the platform.
  const output = carryOutput(child, options, run.onLine && lineReader(run.onLine));
  const over = new AbortController();
  const stop = (): void => void stopGroup(child, options.sleep, over.signal);
  signal.addEventListener("abort", stop, { once: true });
  try {
    const exit = await exited;
    await finishOutput(output, options.sleep);
    signal.throwIfAborted();
    if (exit.code !== 0) throw new GitFailedError(subcommandOf(args), exit);
  } finally {
    over.abort(new Error("git has ended"));
    signal.removeEventListener("abort", stop);
  }
}

/** How a git ended. */
interface GitExit {
  /** -1 when a signal ended it. */
  readonly code: number;
  /** For the log. */
  readonly text: string;
}

function exitOf(child: ChildProcess): Promise<GitExit> {
  return new Promise((resolve, reject) => {
    child.once("error", (error: NodeJS.ErrnoException) => {
      reject(error.code === "ENOENT" ? new GitNotFoundError({ cause: error }) : error);
    });
    child.once("exit", (code, signalName) => {
      resolve({ code: code ?? -1, text: code === null ? `signal: ${signalName}` : `exit status ${code}` });
    });
  });
}

/** Puts chunks together to lines. */
function lineReader(onLine: (line: string) => void): (chunk: Buffer) => void {
  let rest = "";
  return (chunk) => {
    const lines = `${rest}${chunk.toString("latin1")}`.split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) onLine(line);
  };
}

/** What git prints, on its way to the log. */
interface CarriedOutput {
  readonly done: Promise<unknown>;
  readonly progress: Progress;
  /** Reads no further. */
  stop(): void;
}

interface Progress {
  /** Chunks that were written. */
  chunks: number;
  /** Chunks that wait for the log. */
  waiting: number;
}

function carryOutput(
  child: ChildProcess,
  { stdout, stderr }: GitOptions,
  onChunk?: (chunk: Buffer) => void,
): CarriedOutput {
  const progress: Progress = { chunks: 0, waiting: 0 };
  return {
    done: Promise.all([carry(child.stdout, stdout, progress, onChunk), carry(child.stderr, stderr, progress)]),
    progress,
    stop: () => {
      child.stdout?.destroy();
      child.stderr?.destroy();
    },
  };
}

async function carry(
  source: Readable | null | undefined,
  destination: Writable,
  progress: Progress,
  onChunk?: (chunk: Buffer) => void,
): Promise<void> {
  // A git that could not be started may have no pipes.
  if (source === null || source === undefined) return;
  try {
    for await (const chunk of source) {
      onChunk?.(chunk);
      progress.waiting += 1;
      await new Promise<void>((resolve) => {
        destination.write(chunk, () => resolve());
      });
      progress.waiting -= 1;
      progress.chunks += 1;
    }
  } catch (error) {
    // Destroyed because its writer would not let go of it.
    if (!source.destroyed) throw error;
  }
}

/** Waits for what has been printed. A daemon that holds the output open is not listened to any longer once it is silent. */
async function finishOutput({ done, progress, stop }: CarriedOutput, sleep: Sleep): Promise<void> {
  for (let round = 0; round < MOST_OUTPUT_ROUNDS; round += 1) {
    const before = progress.chunks;
    if (await endsInTime(done, sleep)) return;
    // A slow log is no reason to lose what has been printed already.
    if (progress.chunks === before && progress.waiting === 0) break;
  }
  stop();
}

/** Bounds the wait for a daemon that never stops printing. */
const MOST_OUTPUT_ROUNDS = 60;

async function endsInTime(done: Promise<unknown>, sleep: Sleep): Promise<boolean> {
  const timer = new AbortController();
  const late = sleep(OUTPUT_GRACE_MS, timer.signal).then(
    () => false,
    () => true,
  );
  try {
    return await Promise.race([done.then(() => true), late]);
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
