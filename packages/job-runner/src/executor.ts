import type { Writable } from "node:stream";

import type { JobPayload } from "@fleetfoot/coordinator-client";

/**
 * Runs the scripts of jobs somewhere: on this host, in containers, on another machine.
 *
 * Declared here, by the one who needs it; an executor package satisfies it without importing it.
 */
export interface Executor {
  /** Name as the coordinator and `config.toml` know it, for example `shell`. */
  readonly name: string;
  /**
   * Gets ready to run one job. May be called again after it failed.
   *
   * @throws {unknown} an error with the fields of {@link ClassifiedFailure} decides what is reported and whether a second
   *   try makes sense; any other error counts as `runner_system_failure` and is tried again
   */
  prepare(request: PrepareRequest): Promise<Environment>;
}

/** What an executor learns of the job. */
export interface PrepareRequest {
  readonly jobId: number;
  readonly projectId: number;
  /** The job as the coordinator sent it: image, services, credentials. */
  readonly payload: JobPayload;
  /** The smallest number from 0 that no other running job of this runner and project has. */
  readonly concurrentProjectId: number;
  /** Whether the working copy is wanted again by the next job of this project and number. */
  readonly keepsWorkingCopy: boolean;
  /** Where the project lies, as far as the runner decides it. */
  readonly directories: JobDirectories;
  /** All variables of the job, expanded, in the order in which they are exported; file variables hold their path. */
  readonly variables: ReadonlyMap<string, string>;
  /** A variable's own value; that of a file variable is the content of its file. */
  readonly lookupContent: (name: string) => string | undefined;
  /** Names of the variables that may be shown to what runs beside the job, such as its services. */
  readonly publicVariables: ReadonlySet<string>;
  /** Writes one plain line, in the runner's own form, into the job's log. */
  readonly log: (text: string) => void;
  /** Writes one line that begins with "WARNING: ". */
  readonly warn: (text: string) => void;
  /**
   * Opens a stream into the job's log for what a service prints; it is closed with the log, and takes nothing afterwards.
   *
   * @default nobody wants to see it
   */
  readonly serviceOutput?: (channel: "stderr" | "stdout") => Writable;
  readonly signal: AbortSignal;
}

/** Absolute paths as the job's scripts see them. @see job-execution 1.8 */
export interface JobDirectories {
  readonly builds: string;
  readonly project: string;
  /** Beside the project: file variables, side configuration. Removed when the job ends. */
  readonly temporary: string;
  readonly cache: string;
}

/** A place that is ready to run the scripts of one job. */
export interface Environment {
  readonly workspace: Workspace;
  /** Variables that only this kind of place sets, for example `CI_SHARED_ENVIRONMENT`. */
  readonly variables: Readonly<Record<string, string>>;
  /** Text for the line "Running on …". */
  readonly description: string;
  /**
   * Runs one script and resolves when its process and everything it printed have arrived.
   *
   * An abort stops the script, gently first; the promise still resolves, with the exit that came of it.
   *
   * @throws {unknown} only when the script could not be started or the place was lost
   */
  run(request: RunRequest): Promise<ScriptExit>;
  /** Releases everything; called exactly once, also after a failure. */
  cleanup(options: { readonly signal: AbortSignal }): Promise<void>;
}

export interface RunRequest {
  /** Whole text of the script, for a POSIX shell or bash; it arrives on the shell's standard input. */
  readonly script: string;
  readonly stdout: Writable;
  readonly stderr: Writable;
  readonly signal: AbortSignal;
}

/** How a script ended. */
export interface ScriptExit {
  /** Exit code; -1 when a signal ended it. */
  readonly code: number;
  /** Text for the log, for example `exit status 7` or `signal: killed`. */
  readonly text: string;
}

/**
 * Hides where the project directory is from the stages that the runner does itself (sources, caches, artifacts).
 *
 * The stages work on `directories`, which are paths of this host. A place that does not share a file system with the
 * runner fills them in `collect` and empties them in `publish`; a local one does nothing there.
 */
export interface Workspace {
  /** Where the runner's own stages find the job's files, on this host. */
  readonly directories: JobDirectories;
  /**
   * Whether scripts run apart from this host, with paths of their own. What a job says or writes must then reach no program of
   * this host: git gets the job's variables by an allow-list, and `collect` never brings a repository.
   *
   * @default false
   */
  readonly isolated?: boolean;
  /**
   * Runs scripts of the runner itself beside the files of the job's scripts, with git and as a user who may write everywhere.
   * Sources are then fetched there and not on this host, and stay there for the next job if the working copy is wanted again.
   *
   * @default the runner's own stages work on this host
   */
  readonly helper?: Pick<Environment, "run">;
  /** Makes what the stages wrote visible to the scripts. */
  publish(options: { readonly signal: AbortSignal }): Promise<void>;
  /** Makes what the scripts wrote visible to the stages. */
  collect(options: CollectOptions): Promise<void>;
}

export interface CollectOptions {
  /**
   * Files and directories that the stages will look at, relative to the project. The file behind `GITLAB_ENV` always is.
   *
   * @default everything
   */
  readonly paths?: readonly string[];
  readonly signal: AbortSignal;
}

/** Fields by which an error of any package says what to report. */
export interface ClassifiedFailure {
  readonly failureReason: string;
  /** Whether the same step may succeed when it is tried again. */
  readonly retryable: boolean;
  readonly exitCode?: number;
}
