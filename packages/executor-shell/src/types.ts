import type { ChildProcess, SpawnOptions } from "node:child_process";
import type { Writable } from "node:stream";

/** How scripts are run on this host. */
export interface ShellExecutorOptions {
  /** Shell that reads the scripts; found by the PATH of `environment`. @default "bash" */
  readonly shell?: "bash" | "sh";
  /**
   * Whether the shell is a login shell, which reads the profile files first.
   *
   * @default true
   */
  readonly login?: boolean;
  /** Environment in which every script starts. Nothing else of this process's environment reaches it. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Name of this host in the line "Running on …". @default os.hostname() */
  readonly hostName?: string;
  /**
   * Time between asking a script's processes to end and killing them.
   *
   * @default 5_000
   */
  readonly killGraceMs?: number;
  /**
   * Time after the end of the shell for which processes that it left behind may go on holding its output open.
   *
   * @default 1_000
   */
  readonly outputGraceMs?: number;
  /** Waits; rejects with the signal's reason when it is aborted. @default a timer */
  readonly sleep?: (ms: number, signal?: AbortSignal) => Promise<void>;
  /** Starts a process. @default node:child_process */
  readonly spawn?: Spawn;
  /** Sends a signal to a process group, given as a negative process id. @default process.kill */
  readonly kill?: (processId: number, signal: NodeJS.Signals) => void;
}

export type Spawn = (command: string, args: readonly string[], options: SpawnOptions) => ChildProcess;

/** Absolute paths of one job on this host. */
export interface ShellDirectories {
  readonly builds: string;
  readonly project: string;
  /** Only for this job; the scripts start here. */
  readonly temporary: string;
  readonly cache: string;
}

export interface ShellPrepareRequest {
  readonly directories: ShellDirectories;
  /** Writes one line into the job's log. */
  readonly log: (text: string) => void;
  readonly signal: AbortSignal;
}

/** Runs jobs as processes of this host, without isolation from it. */
export interface ShellExecutor {
  readonly name: "shell";
  /** @throws {ShellNotFoundError} */
  prepare(request: ShellPrepareRequest): Promise<ShellEnvironment>;
  /**
   * Kills every process of every script that runs, without asking first and before it returns. For a process that is about to
   * exit: whatever it started would go on without it.
   */
  killAll(): void;
}

export interface ShellEnvironment {
  readonly workspace: ShellWorkspace;
  readonly variables: Readonly<Record<string, string>>;
  /** Name of this host. */
  readonly description: string;
  /**
   * Runs one script and resolves when its shell has ended and its output is written.
   *
   * @throws {ShellNotFoundError | ShellStartError} the shell could not be started
   * @throws {unknown} what one of the two streams failed with; the script is stopped then
   */
  run(request: ShellRunRequest): Promise<ShellExit>;
  cleanup(options: { readonly signal: AbortSignal }): Promise<void>;
}

/** Jobs run where the runner runs, so there is nothing to carry to and fro. */
export interface ShellWorkspace {
  readonly directories: ShellDirectories;
  publish(options: { readonly signal: AbortSignal }): Promise<void>;
  collect(options: { readonly signal: AbortSignal }): Promise<void>;
}

export interface ShellRunRequest {
  /** Whole text of the script. */
  readonly script: string;
  /** Not ended by the executor. */
  readonly stdout: Writable;
  /** Not ended by the executor. */
  readonly stderr: Writable;
  /** Stops the script; `run` still resolves, with the exit that came of it. */
  readonly signal: AbortSignal;
}

export interface ShellExit {
  /** Exit code; -1 when a signal ended the shell. */
  readonly code: number;
  /** `exit status 7`, or `signal: killed`. */
  readonly text: string;
}
