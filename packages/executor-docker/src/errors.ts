const MARKER = Symbol.for("@fleetfoot/executor-docker/error");

/** Reasons under which a coordinator learns of a failure. @see job-execution 1.5 */
export type DockerFailureReason =
  | "image_pull_failure"
  | "runner_configuration_error"
  | "runner_external_dependency_failure"
  | "runner_system_failure";

/** Base of every error of this package. The fields say what a job runner reports. */
export abstract class DockerExecutorError extends Error {
  static {
    Object.defineProperty(this.prototype, MARKER, { value: true });
  }

  /** Stable name of the cause, for programs. */
  abstract readonly code: string;
  /** Reason under which the coordinator learns of it. */
  abstract readonly failureReason: DockerFailureReason;
  /** Whether the same step may succeed when it is tried again. */
  abstract readonly retryable: boolean;

  /** Recognises errors of this package across duplicate installations. */
  static isInstance(value: unknown): value is DockerExecutorError {
    return typeof value === "object" && value !== null && MARKER in value;
  }
}

/** The engine could not be reached, or the connection to it broke. */
export class EngineUnreachableError extends DockerExecutorError {
  override readonly name = "EngineUnreachableError";
  override readonly code = "engine-unreachable";
  override readonly failureReason = "runner_system_failure";
  /** False for what somebody has to change: rights, certificates, an address that cannot be. */
  override readonly retryable: boolean;
  /** Address of the engine, as configured. */
  readonly engine: string;

  constructor(
    engine: string,
    cause: unknown,
    { cure, retryable }: { readonly cure: string; readonly retryable: boolean },
  ) {
    super(`cannot reach the Docker engine at ${engine}: ${messageOf(cause)}; ${cure}`, { cause });
    this.engine = engine;
    this.retryable = retryable;
  }
}

/** The engine answered, but not with what was asked for. */
export class EngineResponseError extends DockerExecutorError {
  override readonly name = "EngineResponseError";
  override readonly code = "engine-response";
  override readonly failureReason = "runner_system_failure";
  /** False for what the engine will refuse again: most statuses from 400 to 499. */
  override readonly retryable: boolean;
  /** HTTP status. */
  readonly status: number;

  constructor(what: string, status: number, message: string) {
    super(`the Docker engine refused to ${what}: ${message} (status ${status})`);
    this.status = status;
    // An image may have been removed between its pull and its use; the next try pulls it again.
    this.retryable = status >= 500 || PASSING.has(status) || /no such image/i.test(message);
  }
}

/** Too slow, in conflict with what is being removed, too many requests. */
const PASSING: ReadonlySet<number> = new Set([408, 409, 429]);

/** The container is gone in the middle of a stage. The stage may be run again in a new one. */
export class ContainerLostError extends DockerExecutorError {
  override readonly name = "ContainerLostError";
  override readonly code = "container-lost";
  override readonly failureReason = "runner_system_failure";
  override readonly retryable = false;

  constructor(container: string, options?: ErrorOptions) {
    super(`the container ${container} was removed while it ran, not by this runner`, options);
  }
}

/** The container ended before the script began, which is what an entrypoint does that does not run its arguments. */
export class ScriptNotRunError extends DockerExecutorError {
  override readonly name = "ScriptNotRunError";
  override readonly code = "script-not-run";
  override readonly failureReason = "runner_configuration_error";
  override readonly retryable = false;
  /** With which the container ended. */
  readonly containerExitCode: number;

  constructor(image: string, containerExitCode: number) {
    super(
      `the script has not run: the container of ${image} ended with exit code ${containerExitCode} before it; if the image has an entrypoint that does not run its arguments, write "entrypoint: ['']" beside the image's name in the job`,
    );
    this.containerExitCode = containerExitCode;
  }
}

/** The engine ended while a script ran, and its containers with it: whatever the exit code says, the script did not fail. */
export class EngineRestartedError extends DockerExecutorError {
  override readonly name = "EngineRestartedError";
  override readonly code = "engine-restarted";
  override readonly failureReason = "runner_system_failure";
  override readonly retryable = false;

  constructor(container: string) {
    super(
      `the Docker engine was restarted and ended the container ${container}; with "live-restore" in its daemon.json jobs go on`,
    );
  }
}

/** The connection to a running container was lost and could not be resumed. */
export class OutputLostError extends DockerExecutorError {
  override readonly name = "OutputLostError";
  override readonly code = "output-lost";
  override readonly failureReason = "runner_system_failure";
  override readonly retryable = false;

  constructor(container: string, cause: unknown) {
    super(`the connection to the container ${container} broke and could not be resumed: ${messageOf(cause)}`, {
      cause,
    });
  }
}

/** Files of this host could not be read or written. */
export class HostFilesError extends DockerExecutorError {
  override readonly name = "HostFilesError";
  override readonly code = "host-files";
  override readonly failureReason = "runner_system_failure";
  override readonly retryable = true;

  constructor(what: string, cause: unknown) {
    super(`cannot ${what}: ${messageOf(cause)}`, { cause });
  }
}

/** The job or the runner's configuration asks for what this runner does not allow or have. */
export class DockerConfigurationError extends DockerExecutorError {
  override readonly name = "DockerConfigurationError";
  override readonly code = "docker-configuration";
  override readonly failureReason = "runner_configuration_error";
  override readonly retryable = false;
}

/** An image could not be had. */
export class ImagePullError extends DockerExecutorError {
  override readonly name = "ImagePullError";
  override readonly code = "image-pull";
  override readonly failureReason: DockerFailureReason;
  override readonly retryable = false;
  readonly image: string;

  constructor(image: string, failureReason: DockerFailureReason, reason: string, options?: ErrorOptions) {
    super(`failed to pull image ${JSON.stringify(image)}: ${reason}`, options);
    this.image = image;
    this.failureReason = failureReason;
  }
}

/** Text of an unknown thrown value. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
