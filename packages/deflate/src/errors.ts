const MARKER = Symbol.for("@fleetfoot/deflate/DeflateError");

/**
 * What is wrong with data that should be inflated.
 *
 * - `truncated`: the data ends before its stream does
 * - `too-long`: there is no room for all that the stream holds
 * - `bad-block-type`, `bad-stored-length`, `bad-code-lengths`, `bad-code`, `bad-distance`: it is no deflate stream
 * - `ended`: the data should be blocks of a stream that goes on, but holds the end of one
 */
export type DeflateErrorCode =
  | "truncated"
  | "too-long"
  | "bad-block-type"
  | "bad-stored-length"
  | "bad-code-lengths"
  | "bad-code"
  | "bad-distance"
  | "ended";

/** Data cannot be inflated. */
export class DeflateError extends Error {
  static {
    Object.defineProperty(this.prototype, MARKER, { value: true });
  }

  override readonly name: string = "DeflateError";
  readonly code: DeflateErrorCode;
  /** Never: the same data gives the same error. */
  readonly retryable: boolean = false;

  constructor(code: DeflateErrorCode) {
    super(`inflate: ${MESSAGES[code]}`);
    this.code = code;
  }

  /** Whether a value is such an error, also of another copy of this package. */
  static isInstance(value: unknown): value is DeflateError {
    return typeof value === "object" && value !== null && MARKER in value;
  }
}

const MESSAGES: Readonly<Record<DeflateErrorCode, string>> = {
  truncated: "the data ends too early",
  "too-long": "the data holds more than there is room for",
  "bad-block-type": "a block has a type that does not exist",
  "bad-stored-length": "the length of a stored block and its complement disagree",
  "bad-code-lengths": "a block begins with codes that are none",
  "bad-code": "a code stands for nothing",
  "bad-distance": "a match begins before the data does",
  ended: "the data holds the last block of a stream that should go on",
};
