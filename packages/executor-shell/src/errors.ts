const MARKER = Symbol.for("@fleetfoot/executor-shell/error");

/** Base of every error of this package. The fields say what a job runner reports. */
export abstract class ShellExecutorError extends Error {
  static {
    Object.defineProperty(this.prototype, MARKER, { value: true });
  }

  /** Stable name of the cause, for programs. */
  abstract readonly code: string;
  /** Reason under which the coordinator learns of it. */
  abstract readonly failureReason: string;
  /** Whether the same step may succeed when it is tried again. */
  abstract readonly retryable: boolean;

  /** Recognises errors of this package across duplicate installations. */
  static isInstance(value: unknown): value is ShellExecutorError {
    return typeof value === "object" && value !== null && MARKER in value;
  }
}

/** The configured shell is not on this host. Install it, or configure another one. */
export class ShellNotFoundError extends ShellExecutorError {
  override readonly name = "ShellNotFoundError";
  override readonly code = "shell-not-found";
  override readonly failureReason = "runner_configuration_error";
  override readonly retryable = false;
  readonly shell: string;

  constructor(shell: string, searchPath: string, options?: ErrorOptions) {
    super(
      `cannot run jobs: there is no ${shell} in the directories of PATH (${searchPath || "PATH is empty"}); ` +
        `install ${shell}, or set the runner's shell to one that is there`,
      options,
    );
    this.shell = shell;
  }
}

/** The shell is there but could not be started, for example because the host has no process or memory left. */
export class ShellStartError extends ShellExecutorError {
  override readonly name = "ShellStartError";
  override readonly code = "shell-start-failed";
  override readonly failureReason = "runner_system_failure";
  override readonly retryable = true;
  readonly shell: string;

  constructor(shell: string, cause: unknown) {
    super(`cannot start ${shell}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    this.shell = shell;
  }
}
