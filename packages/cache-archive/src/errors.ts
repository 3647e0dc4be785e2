/** What went wrong, for callers that decide by it. */
export type CacheArchiveErrorCode =
  | "bad-word"
  | "checksum"
  | "duplicate-name"
  | "encrypted"
  | "entry-changed"
  | "header-mismatch"
  | "invalid-option"
  | "io"
  | "malformed"
  | "no-space"
  | "outside-root"
  | "size-mismatch"
  | "too-large"
  | "truncated"
  | "unsupported-format"
  | "unsupported-method";

/** What is known about a failure besides its code. */
export interface CacheArchiveErrorFacts {
  readonly code: CacheArchiveErrorCode;
  /** What was attempted and what was found, in one line. */
  readonly message: string;
  /** Name of the entry that failed, readable: bytes that are not UTF-8 appear as `\xNN`. */
  readonly entryName?: string | undefined;
  readonly cause?: unknown;
}

const MARKER = Symbol.for("@fleetfoot/cache-archive/CacheArchiveError");

/** Writing, reading or choosing the content of an archive failed. */
export class CacheArchiveError extends Error {
  static {
    Object.defineProperty(this.prototype, MARKER, { value: true });
  }

  override readonly name: string = "CacheArchiveError";
  readonly code: CacheArchiveErrorCode;
  /** Whether the same call may succeed later without another archive or other options. */
  readonly retryable: boolean;
  /** What the reader of the message can do. */
  readonly advice: string;
  /** Name of the entry that failed; undefined when the archive as a whole did. */
  readonly entryName: string | undefined;

  constructor(facts: CacheArchiveErrorFacts) {
    super(facts.message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.code = facts.code;
    this.retryable = RETRYABLE.has(facts.code);
    this.advice = ADVICE[facts.code];
    this.entryName = facts.entryName;
  }

  /** Whether `value` is such an error, also one from another copy of this package. */
  static isInstance(value: unknown): value is CacheArchiveError {
    return typeof value === "object" && value !== null && MARKER in value;
  }
}

/** Puts a system error into ours, with the entry's name; our own errors pass as they are. */
export function toArchiveError(cause: unknown, attempt: string, entryName?: string): CacheArchiveError {
  if (CacheArchiveError.isInstance(cause)) return cause;
  const errno = errnoOf(cause);
  const reason = cause instanceof Error ? cause.message : String(cause);
  // What the errors of locks know to do about them.
  const cure = cause instanceof Error && "cure" in cause ? ` ${String(cause.cure)}` : "";
  const code = errno === "ENOSPC" || errno === "EDQUOT" || errno === "EFBIG" ? "no-space" : "io";
  return new CacheArchiveError({ code, message: `${attempt}: ${reason}${cure}`, entryName, cause });
}

/** The `code` of a Node.js system error, such as `ENOENT`. */
export function errnoOf(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}

const RETRYABLE: ReadonlySet<CacheArchiveErrorCode> = new Set(["entry-changed", "io", "no-space"]);

const ADVICE: Readonly<Record<CacheArchiveErrorCode, string>> = {
  "bad-word": "Escape the dollar sign or backquote with a backslash, or use a plain $NAME.",
  checksum: "The archive is damaged; delete it, the next save writes a new one.",
  "duplicate-name": "Two entries would be written to one place; create the archive anew.",
  encrypted: "Store the archive without a password.",
  "entry-changed": "Make sure that nothing changes the files while they are archived, then try again.",
  "header-mismatch": "The archive contradicts itself and may be forged; delete it and create it anew.",
  "invalid-option": "Correct the option that the message names.",
  io: "Check permissions and the state of the disk, then try again.",
  malformed: "The archive is damaged or not a zip file; delete it, the next save writes a new one.",
  "no-space": "Free disk space or raise the file size limit, then try again.",
  "outside-root":
    "The entry would leave the project directory; remove the link that the message names, or do not use this archive.",
  "size-mismatch": "The archive is damaged; delete it, the next save writes a new one.",
  "too-large": "Raise the limit that the message names if you trust the archive.",
  truncated: "The archive was cut off; delete it and transfer or create it anew.",
  "unsupported-format": "Use a zip or tar+zstd archive.",
  "unsupported-method": "Write the archive with stored, deflate or zstd entries.",
};
