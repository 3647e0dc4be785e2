const MARKER = Symbol.for("@fleetfoot/coordinator-client/error");

/** Base of every error that this package throws. */
export abstract class CoordinatorError extends Error {
  static {
    Object.defineProperty(this.prototype, MARKER, { value: true });
  }

  /** Stable name of the cause, for programs. */
  abstract readonly code: string;
  /** Whether the same call may succeed later without a change on this side. */
  abstract readonly retryable: boolean;

  /** Recognises errors of this package across duplicate installations. */
  static isInstance(value: unknown): value is CoordinatorError {
    return typeof value === "object" && value !== null && MARKER in value;
  }
}

/** The instance URL cannot be used at all. Correct the configuration. */
export class InvalidInstanceUrlError extends CoordinatorError {
  override readonly name = "InvalidInstanceUrlError";
  override readonly code = "invalid-instance-url";
  override readonly retryable = false;

  constructor(problem: string) {
    super(`The coordinator's URL cannot be used: ${problem}. Give one such as https://gitlab.example.com.`);
  }
}

export interface TransportFacts {
  /** Requests that were sent, the failed one included. */
  readonly attempts: number;
  /** Whether an earlier attempt met a retriable status. */
  readonly throttled: boolean;
}

/** A request got no answer: name resolution, connection, TLS, time limit or too many redirects. `cause` has the original. */
export class TransportError extends CoordinatorError {
  override readonly name = "TransportError";
  override readonly code = "no-answer";
  override readonly retryable = true;
  readonly attempts: number;
  readonly throttled: boolean;

  constructor(message: string, facts: TransportFacts = { attempts: 1, throttled: false }, options?: ErrorOptions) {
    super(message, options);
    this.attempts = facts.attempts;
    this.throttled = facts.throttled;
  }
}

/** Labels that a coordinator would not take. Correct them. */
export class InvalidLabelsError extends CoordinatorError {
  override readonly name = "InvalidLabelsError";
  override readonly code = "invalid-labels";
  override readonly retryable = false;
  /** One sentence part for each. */
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`The runner's labels cannot be used: ${problems.join("; ")}.`);
    this.problems = problems;
  }
}
