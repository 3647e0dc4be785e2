const marker: unique symbol = Symbol.for("@fleetfoot/cache-key/CacheKeyError");

/** Why a key or a name made from it cannot be used. */
export type CacheKeyErrorCode =
  /** Nothing is left of the key: `..`, `/`, or a last segment that trimming turns into `.` or `..`. */
  | "unusable-key"
  /** The name leaves the place that belongs to the project. */
  | "outside-base"
  /** A hashed key has fewer than the two characters that its shard needs. */
  | "key-too-short";

/** A cache key cannot be turned into the name that was asked for. Never retryable: equal input gives an equal error. */
export class CacheKeyError extends Error {
  override readonly name = "CacheKeyError";
  readonly code: CacheKeyErrorCode;
  readonly retryable: false = false;
  /** The key as it was given. */
  readonly key: string;

  constructor(code: CacheKeyErrorCode, key: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.key = key;
  }

  static {
    Object.defineProperty(this.prototype, marker, { value: true });
  }

  /** Whether a value is such an error, also one of another installed copy of this package. */
  static isInstance(value: unknown): value is CacheKeyError {
    return typeof value === "object" && value !== null && marker in value;
  }
}
