import { TransportError } from "../errors.ts";
import type { Logger } from "../logger.ts";
import { noopLogger } from "../logger.ts";
import { printable } from "../printable.ts";
import { isRetriableStatus } from "./classification.ts";
import { sleep as realSleep } from "./sleep.ts";
import { computeWait } from "./wait.ts";

/** What the retry layer needs to know of an answer, whatever sent the request. */
export interface AttemptAnswer {
  readonly status: number;
  /** First value of a header, undefined when absent; `name` is in lower case. */
  header(name: string): string | undefined;
  /** Gives the connection back: reads the rest of the body within bounds, then drops it. Never rejects. */
  discard(signal?: AbortSignal): Promise<void>;
}

export interface RetryOptions {
  /** Attempts in all, an integer of at least 1. @default 5 */
  readonly maxAttempts?: number;
  /** Upper end of a random time on top of a wait that the coordinator asked for. @default 0 */
  readonly retryJitterMs?: number;
  /** @default noopLogger */
  readonly logger?: Logger;
  /** Epoch milliseconds. @default Date.now */
  readonly now?: () => number;
  /** Rejects with `signal.reason` when aborted. @default a timer */
  readonly sleep?: (ms: number, signal?: AbortSignal) => Promise<void>;
  /** Uniform in [0, 1). @default Math.random */
  readonly random?: () => number;
}

/** Names the request in log lines. */
interface RetryRequest {
  readonly method: string;
  /** Without query, user name and password. */
  readonly url: string;
  readonly signal?: AbortSignal | undefined;
  /** Called when another attempt is about to be made, before the wait. */
  readonly onRetry?: ((facts: { attempt: number; status: number; waitMs: number }) => void) | undefined;
}

export interface Retried<Answer> {
  readonly answer: Answer;
  /** Attempts that were made, 1 or more. */
  readonly attempts: number;
  /** Whether any attempt met a retriable status, the last one included. */
  readonly throttled: boolean;
}

/** Sends until an answer counts. */
export type Retrier = <Answer extends AttemptAnswer>(
  request: RetryRequest,
  send: () => Promise<Answer>,
) => Promise<Retried<Answer>>;

/**
 * The retry rule of the protocol over any way of sending a request.
 *
 * `send` is called once per attempt and must make the same request with the same bytes each time. A retriable status on
 * the last attempt is returned like any other, body unread. Nothing is retried when `send` rejects: the rejection is
 * passed on as {@link TransportError} with the number of attempts, an abort as `signal.reason`.
 *
 * @throws {RangeError} `maxAttempts` or `retryJitterMs` out of range
 * @see coordinator-protocol 2
 */
export function createRetrier(options: RetryOptions = {}): Retrier {
  const {
    maxAttempts = 5,
    retryJitterMs = 0,
    logger = noopLogger,
    now = Date.now,
    sleep = realSleep,
    random = Math.random,
  } = options;
  if (!Number.isInteger(maxAttempts) || maxAttempts < 1) {
    throw new RangeError(`maxAttempts must be an integer of at least 1, not ${maxAttempts}`);
  }
  if (!(retryJitterMs >= 0 && Number.isFinite(retryJitterMs))) {
    throw new RangeError(`retryJitterMs must be zero or more, not ${retryJitterMs}`);
  }

  return async (request, send) => {
    const { signal } = request;
    let throttled = false;
    let backoffStep = 0;
    for (let attempt = 1; ; attempt += 1) {
      signal?.throwIfAborted();
      const answer = await send().catch((error: unknown) => {
        signal?.throwIfAborted();
        throw asTransportError(error, attempt, throttled);
      });
      if (!isRetriableStatus(answer.status)) {
        return { answer, attempts: attempt, throttled };
      }
      throttled = true;
      if (attempt >= maxAttempts) {
        return { answer, attempts: attempt, throttled };
      }

      const headers = { resetTime: answer.header("ratelimit-resettime"), retryAfter: answer.header("retry-after") };
      await answer.discard(signal);
      signal?.throwIfAborted();
      const wait = computeWait(headers, { now: now(), backoffStep, random, jitterMs: retryJitterMs });
      if (wait.source === "backoff") {
        backoffStep += 1;
      }
      for (const { header, value, problem } of wait.unparsable) {
        logger.warn("Rate limit header ignored", { error: problem, header, headerValue: printable(value) });
      }
      logger.info("Waiting before the next attempt", {
        context: "coordinator-retry",
        url: request.url,
        method: request.method,
        duration: `${Math.round(wait.waitMs) / 1000}s`,
      });
      request.onRetry?.({ attempt, status: answer.status, waitMs: wait.waitMs });
      await sleep(wait.waitMs, signal);
    }
  };
}

function asTransportError(error: unknown, attempts: number, throttled: boolean): TransportError {
  if (error instanceof TransportError && error.attempts === attempts && error.throttled === throttled) {
    return error;
  }
  const message = error instanceof Error ? error.message : String(error);
  const cause = error instanceof TransportError ? error.cause : error;
  return new TransportError(message, { attempts, throttled }, { cause });
}
