import type { FetchLike } from "../client.ts";
import { bodyReader, discardBody, headerValue } from "../transport/web-body.ts";
import type { AttemptAnswer, Retried, RetryOptions } from "./retry.ts";
import { createRetrier } from "./retry.ts";

export interface RetryingFetchOptions extends RetryOptions {
  /** @default the platform's `fetch` */
  readonly fetch?: FetchLike;
}

/** A request that can be sent more than once. */
export interface RepeatableRequest {
  readonly url: string;
  /** @default "GET" */
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** The same bytes on every attempt: a block, or a source that is opened again. */
  readonly body?: Uint8Array | (() => ReadableStream<Uint8Array>);
  /** @default "follow" */
  readonly redirect?: "follow" | "manual" | "error";
  readonly signal?: AbortSignal;
}

export interface RetriedResponse {
  /** The first answer that is not to be retried, or the last one; body unread. */
  readonly response: Response;
  /** Requests that were sent, 1 or more. */
  readonly attempts: number;
  /** Whether any of them met a retriable status, the last one included. */
  readonly throttled: boolean;
}

export type RetryingFetch = (request: RepeatableRequest) => Promise<RetriedResponse>;

/**
 * The retry rule of the protocol around any function shaped like `fetch`.
 *
 * The returned function rejects with {@link TransportError} when there is no answer, without another attempt, and with
 * `signal.reason` when its signal is aborted.
 *
 * @throws {RangeError} an option is out of range
 * @see coordinator-protocol 2
 */
export function createRetryingFetch(options: RetryingFetchOptions = {}): RetryingFetch {
  const { fetch = globalThis.fetch } = options;
  const retry = createRetrier(options);
  return async (request) => {
    const { url, method = "GET", signal } = request;
    const { answer, attempts, throttled }: Retried<FetchAnswer> = await retry(
      { method, url: withoutQuery(url), signal },
      async () => toAnswer(await fetch(toRequest(request, method))),
    );
    return { response: answer.response, attempts, throttled };
  };
}

interface FetchAnswer extends AttemptAnswer {
  readonly response: Response;
}

function toAnswer(response: Response): FetchAnswer {
  return {
    response,
    status: response.status,
    header: (name) => headerValue(response.headers, name),
    discard: (signal) => discardBody(bodyReader(response.body, signal, ignore), signal),
  };
}

function toRequest(request: RepeatableRequest, method: string): Request {
  const { url, headers = {}, body, redirect = "follow", signal } = request;
  return new Request(url, {
    method,
    headers,
    redirect,
    ...(signal === undefined ? {} : { signal }),
    ...(body === undefined ? {} : { body: typeof body === "function" ? body() : body, duplex: "half" }),
  });
}

function withoutQuery(url: string): string {
  const { origin, pathname } = new URL(url);
  return `${origin}${pathname}`;
}

function ignore(): void {
  // Nothing is held beside the body.
}
