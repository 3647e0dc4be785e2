const marker: unique symbol = Symbol.for("@fleetfoot/state-directory/StateDirectoryError");

/** There can be no such directory, because the one around it takes none, as those of `/proc`. */
export class StateDirectoryError extends Error {
  override readonly name = "StateDirectoryError";
  readonly code = "takes-no-directories";
  readonly retryable: false = false;
  /** What was to be made. */
  readonly path: string;
  /** What takes no directories. */
  readonly parent: string;

  constructor(path: string, parent: string) {
    super(`${path} cannot be made: ${parent} takes no folders.`);
    this.path = path;
    this.parent = parent;
  }

  static {
    Object.defineProperty(this.prototype, marker, { value: true });
  }

  /** Whether a value is such an error, also one of another installed copy of this package. */
  static isInstance(value: unknown): value is StateDirectoryError {
    return typeof value === "object" && value !== null && marker in value;
  }
}
