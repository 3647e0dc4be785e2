import type { FailureReason } from "@fleetfoot/coordinator-client";

const MARKER = Symbol.for("@fleetfoot/job-runner/error");

/** Base of every error of this package. The fields say what is reported of it. */
export abstract class JobRunnerError extends Error {
  static {
    Object.defineProperty(this.prototype, MARKER, { value: true });
  }

  /** Stable name of the cause, for programs. */
  abstract readonly code: string;
  abstract readonly failureReason: FailureReason;
  /** Whether the same step may succeed when it is tried again. */
  abstract readonly retryable: boolean;

  /** Recognises errors of this package across duplicate installations. */
  static isInstance(value: unknown): value is JobRunnerError {
    return typeof value === "object" && value !== null && MARKER in value;
  }
}

/** The job asks for something that this runner's configuration does not allow or have. */
export class JobConfigurationError extends JobRunnerError {
  override readonly name = "JobConfigurationError";
  override readonly code = "configuration";
  override readonly failureReason = "runner_configuration_error";
  override readonly retryable = false;
}

/** The payload has parts that cannot be honoured; nothing of the job ran. @see coordinator-protocol 5.3 */
export class PayloadRejectedError extends JobRunnerError {
  override readonly name = "PayloadRejectedError";
  override readonly code = "payload-rejected";
  override readonly failureReason = "runner_system_failure";
  override readonly retryable = false;
  readonly exitCode = 3;
}

/** A script of the job ended with another exit than 0. */
export class ScriptFailedError extends JobRunnerError {
  override readonly name = "ScriptFailedError";
  override readonly code = "script-failed";
  override readonly failureReason = "script_failure";
  override readonly retryable = false;
  readonly exitCode: number;

  /** @param exit - how the script ended, as the executor tells it */
  constructor(exit: { readonly code: number; readonly text: string }) {
    super(exit.text);
    this.exitCode = exit.code;
  }
}

/** A git command failed; what it printed is in the job's log. */
export class GitFailedError extends JobRunnerError {
  override readonly name = "GitFailedError";
  override readonly code = "git-failed";
  override readonly failureReason = "script_failure";
  override readonly retryable = true;
  readonly exitCode: number;

  /** @param subcommand - for example `fetch`; arguments may hold secrets and stay out */
  constructor(subcommand: string, exit: { readonly code: number; readonly text: string }) {
    super(`git ${subcommand}: ${exit.text}`);
    this.exitCode = exit.code;
  }
}

/** There is no git on this host. Install it, or let jobs run with `GIT_STRATEGY: none`. */
export class GitNotFoundError extends JobRunnerError {
  override readonly name = "GitNotFoundError";
  override readonly code = "git-not-found";
  override readonly failureReason = "runner_configuration_error";
  override readonly retryable = false;

  constructor(options?: ErrorOptions) {
    super(
      "git was not found in the PATH of the runner: install git, or use GIT_STRATEGY none for jobs without sources",
      options,
    );
  }
}
