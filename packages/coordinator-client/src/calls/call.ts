import type { CallRecord } from "../client.ts";
import { TransportError } from "../errors.ts";
import { describeError, printable, statusLine } from "../error-text.ts";
import type { Logger } from "../logger.ts";
import { CLIENT_ERROR_STATUS, NO_ANSWER_STATUS } from "../results.ts";
import type { CallFacts } from "../results.ts";
import type { Retrier } from "../retry/retry.ts";
import type { RunnerInfo } from "../runner-info.ts";
import type { Secret } from "../secret.ts";
import { sendFollowing } from "../transport/redirects.ts";
import type { RequestBody, Transport, WireRequest, WireResponse } from "../transport/transport.ts";
import { readJson, readServerMessage } from "./answer-body.ts";
import { describeRefusal, failureMessage, lineWithoutResponse, undecodable } from "./wording.ts";

/** What all calls of one client share. */
export interface CallContext {
  /** Where `/api/v4/` begins, or why there is no such place. */
  readonly base: { readonly origin: string; readonly path: string } | { readonly problem: string };
  readonly transport: Transport;
  readonly retry: Retrier;
  readonly logger: Logger;
  readonly info: RunnerInfo;
  readonly userAgent: string;
  readonly headersTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly requestId: () => string;
  readonly onCall: (record: CallRecord) => void;
  readonly now: () => number;
  readonly sleep: (ms: number, signal?: AbortSignal) => Promise<void>;
  readonly random: () => number;
}

/** One call, apart from what is the same for all. */
export interface CallRequest {
  readonly method: WireRequest["method"];
  /** Below `/api/v4/`, without query. */
  readonly path: string;
  /** Including the `?`; empty for none. */
  readonly query?: string;
  /** The path with ids replaced, for counting. */
  readonly endpoint: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: RequestBody;
  /** The status whose body is decoded as JSON. */
  readonly jsonStatus?: number;
  /** Tokens that must not appear in a message. */
  readonly secrets: readonly Secret[];
  readonly signal?: AbortSignal | undefined;
  readonly headersTimeoutMs?: number | undefined;
  readonly requestTimeoutMs?: number | undefined;
  /** Called before the wait for another attempt. */
  readonly onRetry?: (facts: { attempt: number; status: number; requestId: string }) => void;
}

/** The end of a call, body read. */
export interface Answer {
  readonly facts: CallFacts;
  /** Status with its text, for log lines. */
  readonly statusLine: string;
  /** Decoded body; undefined unless the status is the one to decode. */
  readonly json: unknown;
  header(name: string): string | undefined;
}

/** The end of a call, body unread; without a response the answer says why. */
export type Exchange = { readonly response: WireResponse; readonly facts: CallFacts } | { readonly answer: Answer };

/**
 * Makes one call through retry layer and redirects, and reads the answer.
 *
 * @throws `request.signal.reason`, nothing else
 */
export async function call(context: CallContext, request: CallRequest): Promise<Answer> {
  const exchange = await startCall(context, request);
  return "answer" in exchange ? exchange.answer : await readAnswer(context, request, exchange.response, exchange.facts);
}

/** Makes one call up to the headers of the answer. */
export async function startCall(context: CallContext, request: CallRequest): Promise<Exchange> {
  const { base, requestId: newRequestId } = context;
  const { method, path, query = "", endpoint, headers, body, signal, onRetry } = request;
  const requestId = newRequestId();
  if ("problem" in base) {
    signal?.throwIfAborted();
    const facts = { status: CLIENT_ERROR_STATUS, attempts: 0, throttled: false, requestId, message: base.problem };
    return { answer: answerWithoutResponse(context, request, facts) };
  }
  const wire: WireRequest = {
    method,
    origin: base.origin,
    path: `${base.path}${path}${query}`,
    headers: { ...headers, "user-agent": context.userAgent, "x-request-id": requestId },
    body,
    signal,
    headersTimeoutMs: request.headersTimeoutMs ?? context.headersTimeoutMs,
    requestTimeoutMs: request.requestTimeoutMs ?? context.requestTimeoutMs,
  };
  try {
    const { answer, attempts, throttled } = await context.retry(
      {
        method,
        url: `${base.origin}${base.path}${path}`,
        signal,
        onRetry: onRetry && ((facts) => onRetry({ ...facts, requestId })),
      },
      () => sendFollowing(context.transport, wire),
    );
    context.onCall({ method, endpoint, status: answer.status, attempts, throttled });
    const facts: CallFacts = {
      status: answer.status,
      attempts,
      throttled,
      requestId: printable(answer.header("x-request-id") || requestId, request.secrets),
      message: "",
    };
    return { response: answer, facts };
  } catch (error) {
    if (!(error instanceof TransportError)) {
      throw error;
    }
    const { attempts, throttled } = error;
    const message = failureMessage(context, request, describeError(error.cause ?? error));
    const facts = { status: NO_ANSWER_STATUS, attempts, throttled, requestId, message };
    return { answer: answerWithoutResponse(context, request, facts) };
  }
}

/** Reads the body of an answer: as JSON, as the text of a failure, or not at all. */
export async function readAnswer(
  context: CallContext,
  request: CallRequest,
  response: WireResponse,
  facts: CallFacts,
): Promise<Answer> {
  const line = printable(statusLine(response.status, response.statusText), request.secrets);
  const header = (name: string): string | undefined => response.header(name);
  if (response.status === request.jsonStatus) {
    const { json, problem } = await readJson(response, request.signal);
    if (problem === undefined) {
      return { facts, statusLine: line, json, header };
    }
    return { ...undecodable(context, request, facts, line, problem), header };
  }
  if (response.status >= 200 && response.status < 300) {
    // The outcome is known; the connection becomes free by itself.
    void response.discard();
    return { facts, statusLine: line, json: undefined, header };
  }
  const said = await readServerMessage(response, request.signal);
  const message = failureMessage(context, request, describeRefusal(request, response, line, said));
  return { facts: { ...facts, message }, statusLine: line, json: undefined, header };
}

/** A value as JSON bytes, encoded once for all attempts. */
export function jsonBody(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value));
}

function answerWithoutResponse(context: CallContext, request: CallRequest, facts: CallFacts): Answer {
  const { status, attempts, throttled } = facts;
  context.onCall({ method: request.method, endpoint: request.endpoint, status, attempts, throttled });
  return { facts, statusLine: lineWithoutResponse(status), json: undefined, header: () => undefined };
}
