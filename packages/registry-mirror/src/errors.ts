const marker: unique symbol = Symbol.for("@fleetfoot/registry-mirror/RegistryMirrorError");

/** Base of every error that this package throws. */
export abstract class RegistryMirrorError extends Error {
  static {
    Object.defineProperty(this.prototype, marker, { value: true });
  }

  /** Stable name of the cause, for programs. */
  abstract readonly code: string;
  /** Whether the same call may succeed later without a change on this side. */
  abstract readonly retryable: boolean;

  /** Recognises errors of this package across duplicate installations. */
  static isInstance(value: unknown): value is RegistryMirrorError {
    return typeof value === "object" && value !== null && marker in value;
  }
}

/** The options contradict each other or cannot be used. All problems are told at once. */
export class MirrorOptionsError extends RegistryMirrorError {
  override readonly name = "MirrorOptionsError";
  override readonly code = "invalid-options";
  override readonly retryable = false;
  /** One line per problem. */
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`The mirror cannot start:\n${problems.map((problem) => `- ${problem}`).join("\n")}`);
    this.problems = problems;
  }
}

/** Another process that lives has the directory of the mirror. */
export class DirectoryInUseError extends RegistryMirrorError {
  override readonly name = "DirectoryInUseError";
  override readonly code = "directory-in-use";
  override readonly retryable = true;
  readonly directory: string;
  /** The process that has it, by the number that it has where it runs. */
  readonly processId: number;
  /** Whether it runs in another container, or on another machine. */
  readonly isElsewhere: boolean;

  constructor(directory: string, processId: number, isElsewhere: boolean) {
    const place = isElsewhere ? " of another container or machine" : "";
    super(
      `${directory} is in use by process ${processId}${place}. Stop that one, or give this mirror a directory of its own.`,
    );
    this.directory = directory;
    this.processId = processId;
    this.isElsewhere = isElsewhere;
  }
}

/** What kept an upstream from giving what was asked for. */
export type UpstreamErrorCode =
  /** It says that there is no such thing. */
  | "absent"
  /** It lets nobody of us have it. */
  | "denied"
  /** It wants fewer requests. */
  | "throttled"
  /** It answers that it is in trouble, or makes no sense. */
  | "failing"
  /** It cannot be reached, or breaks off. */
  | "unreachable"
  /** It does not answer in time. */
  | "timeout"
  /** What came does not fit its digest, or is too long. */
  | "wrong-bytes"
  /** Its token server refuses our credentials. */
  | "credentials-rejected"
  /** It, or where it leads, is an address that must not be connected to. */
  | "forbidden-address"
  /** It leads back to this mirror. */
  | "loop";

/** What is known of such a failure. */
export interface UpstreamFailure {
  readonly code: UpstreamErrorCode;
  /** Id of the upstream in the options. */
  readonly upstream: string;
  /** Reason in words; no address, no credential. */
  readonly reason: string;
  /** HTTP status that it answered with. */
  readonly status?: number | undefined;
  /** How long it wants to be left alone. */
  readonly retryAfterMs?: number | undefined;
  /** `WWW-Authenticate` of a refusal, unless it leads to a token server that is not trusted. */
  readonly challenge?: string | undefined;
}

/** An upstream did not give what was asked for. */
export class UpstreamError extends RegistryMirrorError {
  override readonly name = "UpstreamError";
  override readonly code: UpstreamErrorCode;
  override readonly retryable: boolean;
  readonly upstream: string;
  readonly reason: string;
  readonly status: number | undefined;
  readonly retryAfterMs: number | undefined;
  readonly challenge: string | undefined;

  constructor(failure: UpstreamFailure, options?: ErrorOptions) {
    super(`upstream ${failure.upstream}: ${failure.reason}`, options);
    this.code = failure.code;
    this.retryable = !definite.has(failure.code) && failure.code !== "loop";
    this.upstream = failure.upstream;
    this.reason = failure.reason;
    this.status = failure.status;
    this.retryAfterMs = failure.retryAfterMs;
    this.challenge = failure.challenge;
  }

  /** Whether the upstream said so, or whether it could just not be asked. */
  get isDefinite(): boolean {
    return definite.has(this.code);
  }
}

const definite: ReadonlySet<UpstreamErrorCode> = new Set(["absent", "denied"]);
