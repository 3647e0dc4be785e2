const marker: unique symbol = Symbol.for("@fleetfoot/cache-backend/CacheStoreError");

/** What went wrong, as far as a caller can act on it. */
export type CacheStoreErrorCode =
  /** The name is not a clean relative path; see `checkObjectName`. */
  | "invalid-name"
  /** A metadata name is not made of lower-case letters, digits and dashes, or a value has control characters. */
  | "invalid-metadata"
  /** The body that was put is shorter or longer than announced. */
  | "length-mismatch"
  /** The body that was got ends early. */
  | "truncated"
  /** The content that was got is not what its stored digest says. */
  | "digest-mismatch"
  /** The object was replaced while its parts were read. */
  | "object-changed"
  /** The service answers a request for a part with the whole object. */
  | "ranges-ignored"
  /** Credentials are missing, wrong, or do not suffice. */
  | "access-denied"
  /** The service refuses the request for another reason of its own. */
  | "rejected"
  /** No room is left in the store. */
  | "no-space"
  /** The service cannot be reached, breaks off, or answers that it is in trouble. */
  | "unavailable"
  /** The service did not finish within the time that one try may take. */
  | "timeout";

/** What is known of a failure. */
export interface CacheStoreFailure {
  readonly code: CacheStoreErrorCode;
  /** The store's `kind`. */
  readonly store: string;
  /** What was attempted, for example `put`. */
  readonly operation: string;
  /** The object's name, or the prefix of a list. */
  readonly object: string;
  /** Reason in words; must not hold credentials. */
  readonly reason: string;
  /** Whether the same call may succeed later. @default true for `truncated`, `digest-mismatch`, `object-changed`, `unavailable`, `timeout` */
  readonly retryable?: boolean;
  /** HTTP status that the service answered with. */
  readonly status?: number | undefined;
  /** The service's own word for the failure, for example `AccessDenied`. */
  readonly serviceCode?: string | undefined;
  /** Of `digest-mismatch`: the version of the object that has this content. */
  readonly version?: string | undefined;
}

/** A cache store could not do what it was asked. That an object is absent is a result, never an error. */
export class CacheStoreError extends Error {
  override readonly name = "CacheStoreError";
  readonly code: CacheStoreErrorCode;
  /** Whether the same call may succeed later. */
  readonly retryable: boolean;
  readonly store: string;
  readonly operation: string;
  readonly object: string;
  readonly status: number | undefined;
  readonly serviceCode: string | undefined;
  /** Of `digest-mismatch`: the version of the object that has this content. */
  readonly version: string | undefined;

  constructor(failure: CacheStoreFailure, options?: ErrorOptions) {
    super(`${failure.store} ${failure.operation} ${JSON.stringify(failure.object)}: ${failure.reason}`, options);
    this.code = failure.code;
    this.retryable = failure.retryable ?? transient.has(failure.code);
    this.store = failure.store;
    this.operation = failure.operation;
    this.object = failure.object;
    this.status = failure.status;
    this.serviceCode = failure.serviceCode;
    this.version = failure.version;
  }

  static {
    Object.defineProperty(this.prototype, marker, { value: true });
  }

  /** Whether a value is such an error, also one of another installed copy of this package. */
  static isInstance(value: unknown): value is CacheStoreError {
    return typeof value === "object" && value !== null && marker in value;
  }
}

const transient: ReadonlySet<CacheStoreErrorCode> = new Set([
  "truncated",
  "digest-mismatch",
  "object-changed",
  "unavailable",
  "timeout",
]);
