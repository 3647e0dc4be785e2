import { parseResetTime, parseRetryAfter } from "./headers.ts";

/** The two headers that name a wait, as they came; undefined when absent. */
export interface WaitHeaders {
  readonly resetTime: string | undefined;
  readonly retryAfter: string | undefined;
}

/** A header that names no time. Worth a warning, since somebody configured a proxy wrongly. */
export interface UnparsableHeader {
  readonly header: "RateLimit-ResetTime" | "Retry-After";
  readonly value: string;
  readonly problem: string;
}

export interface Wait {
  /** Greater than zero; never shorter than what the coordinator asked for. */
  readonly waitMs: number;
  readonly source: "reset-time" | "retry-after" | "backoff";
  readonly unparsable: readonly UnparsableHeader[];
}

export interface WaitContext {
  /** Epoch milliseconds of the local clock, the only clock that counts. */
  readonly now: number;
  /** How often back-off was consulted before in this call. */
  readonly backoffStep: number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Upper end of a random time on top of a wait that a header named. */
  readonly jitterMs: number;
}

/**
 * Decides how long to wait before the next attempt: the first of reset time, `Retry-After` and back-off that gives a
 * positive time. A wait that was told has no upper bound.
 *
 * Pure: the arguments decide, `random` included.
 *
 * @see coordinator-protocol 2.2
 */
export function computeWait(headers: WaitHeaders, context: WaitContext): Wait {
  const { random, jitterMs } = context;
  const unparsable: UnparsableHeader[] = [];
  if (headers.resetTime) {
    const resetTime = parseResetTime(headers.resetTime);
    if (resetTime === undefined) {
      const problem = "not a date such as Sat, 21 Nov 2026 10:00:00 GMT";
      unparsable.push({ header: "RateLimit-ResetTime", value: headers.resetTime, problem });
    } else if (resetTime > context.now) {
      return { waitMs: resetTime - context.now + jitterMs * random(), source: "reset-time", unparsable };
    }
  }
  if (headers.retryAfter) {
    const retryAfter = parseRetryAfter(headers.retryAfter);
    if (retryAfter === undefined) {
      const problem = "not a whole number of seconds, or too large";
      unparsable.push({ header: "Retry-After", value: headers.retryAfter, problem });
    } else if (retryAfter > 0) {
      return { waitMs: retryAfter + jitterMs * random(), source: "retry-after", unparsable };
    }
  }
  return { waitMs: backoff(context.backoffStep, random), source: "backoff", unparsable };
}

const BACKOFF_FLOOR_MS = 100;
const BACKOFF_CEILING_MS = 60_000;

/** Uniform between the floor and a ceiling that doubles with each step. */
function backoff(step: number, random: () => number): number {
  const ceiling = Math.min(BACKOFF_CEILING_MS, BACKOFF_FLOOR_MS * 2 ** step);
  return BACKOFF_FLOOR_MS + (ceiling - BACKOFF_FLOOR_MS) * random();
}
