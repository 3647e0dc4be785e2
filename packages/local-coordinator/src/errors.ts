const marker = Symbol.for("@fleetfoot/local-coordinator/LocalCoordinatorError");

export type LocalCoordinatorErrorCode =
  | "closed"
  | "connection-dropped"
  | "invalid-options"
  | "state-directory"
  | "unknown-job"
  | "listen-failed";

/** Base of everything that this package throws on its own account. */
export class LocalCoordinatorError extends Error {
  override readonly name: string = "LocalCoordinatorError";
  readonly code: LocalCoordinatorErrorCode;
  /** Whether the same call may succeed later. */
  readonly retryable: boolean;

  constructor(code: LocalCoordinatorErrorCode, message: string, options: ErrorOptions & { retryable?: boolean } = {}) {
    super(message, options);
    this.code = code;
    this.retryable = options.retryable ?? false;
    Object.defineProperty(this, marker, { value: true });
  }

  /** True also for an error of another installed copy of this package. */
  static isInstance(value: unknown): value is LocalCoordinatorError {
    return typeof value === "object" && value !== null && marker in value;
  }
}

/** A handler rejects with this to have the connection cut instead of answered. */
export class ConnectionDroppedError extends LocalCoordinatorError {
  override readonly name = "ConnectionDroppedError";

  constructor(message = "connection dropped on purpose") {
    super("connection-dropped", message, { retryable: true });
  }
}
