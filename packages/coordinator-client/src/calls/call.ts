import type { CallRecord } from "../client.ts";
import { TransportError } from "../errors.ts";
import { describeError, printable, serverMessage, statusLine } from "../error-text.ts";
import type { Logger } from "../logger.ts";
import { CLIENT_ERROR_STATUS, NO_ANSWER_STATUS } from "../results.ts";
import type { CallFacts } from "../results.ts";
import type { Retrier } from "../retry/retry.ts";
import type { RunnerInfo } from "../runner-info.ts";
import type { Secret } from "../secret.ts";
import { sendFollowing } from "../transport/redirects.ts";
import type { RequestBody, Transport, WireRequest, WireResponse } from "../transport/transport.ts";

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
    const message = messageOf(context, request, describeError(error.cause ?? error));
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
  const detail = said === undefined || said === line ? line : `${line} (${said})`;
  const target = redirectTarget(response, request);
  const message = messageOf(context, request, target === undefined ? detail : `${detail}, not followed to ${target}`);
  return { facts: { ...facts, message }, statusLine: line, json: undefined, header };
}

/** Turns an answer that has the right status but no usable content into a failed call. */
export function undecodable(
  context: CallContext,
  request: CallRequest,
  facts: CallFacts,
  line: string,
  problem: string,
): Pick<Answer, "facts" | "statusLine" | "json"> {
  const message = messageOf(context, request, `${line}, but ${problem}`);
  return {
    facts: { ...facts, status: NO_ANSWER_STATUS, message },
    statusLine: `${line}, undecodable`,
    json: undefined,
  };
}

/** Writes the one line that closes a call. */
export function logEnd(
  context: CallContext,
  level: keyof Logger,
  text: string,
  request: CallRequest,
  answer: Answer,
): void {
  const { attempts, requestId, message } = answer.facts;
  context.logger[level](text, {
    method: request.method,
    path: "problem" in context.base ? request.path : `${context.base.path}${request.path}`,
    status: answer.statusLine,
    attempts,
    requestId,
    ...(message === "" ? {} : { error: message }),
  });
}

/** A value as JSON bytes, encoded once for all attempts. */
export function jsonBody(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value));
}

/** More than any job needs; an endless body must not fill the memory. */
const MAX_JSON_BYTES = 64 * 1024 * 1024;
const MAX_ERROR_BYTES = 64 * 1024;
const MAX_ERROR_MS = 1000;

function answerWithoutResponse(context: CallContext, request: CallRequest, facts: CallFacts): Answer {
  const { status, attempts, throttled } = facts;
  context.onCall({ method: request.method, endpoint: request.endpoint, status, attempts, throttled });
  const line = status === CLIENT_ERROR_STATUS ? `${status} unusable URL` : `${status} no answer`;
  return { facts, statusLine: line, json: undefined, header: () => undefined };
}

async function readJson(
  response: WireResponse,
  signal: AbortSignal | undefined,
): Promise<{ json?: unknown; problem?: string }> {
  const type = mediaType(response);
  if (type !== "application/json") {
    void response.discard();
    return { problem: `its media type is ${type || "missing"}, not application/json` };
  }
  let bytes: Uint8Array | undefined;
  try {
    bytes = await response.bytes(MAX_JSON_BYTES);
  } catch (error) {
    signal?.throwIfAborted();
    return { problem: `its body broke off: ${describeError(error)}` };
  }
  if (bytes === undefined) {
    return { problem: `its body is longer than ${MAX_JSON_BYTES} bytes` };
  }
  try {
    return { json: JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString()) };
  } catch {
    return { problem: "its body is not JSON" };
  }
}

async function readServerMessage(response: WireResponse, signal: AbortSignal | undefined): Promise<string | undefined> {
  const type = mediaType(response);
  if (type !== "application/json" && type !== "application/xml" && type !== "text/xml") {
    void response.discard();
    return undefined;
  }
  try {
    const bytes = await response.bytes(MAX_ERROR_BYTES, MAX_ERROR_MS);
    return bytes === undefined ? undefined : serverMessage(type, Buffer.from(bytes).toString());
  } catch {
    // The status alone decides; its explanation is lost with the connection.
    signal?.throwIfAborted();
    return undefined;
  }
}

function mediaType(response: WireResponse): string {
  return (response.header("content-type") ?? "").split(";", 1)[0]?.trim().toLowerCase() ?? "";
}

function redirectTarget(response: WireResponse, request: CallRequest): string | undefined {
  const location = response.status >= 300 && response.status < 400 ? response.header("location") : undefined;
  if (location === undefined || !URL.canParse(location, "http://relative.invalid")) {
    return undefined;
  }
  const { origin, pathname } = new URL(location, "http://relative.invalid");
  const place = origin === "http://relative.invalid" ? pathname : `${origin}${pathname}`;
  return request.method === "GET" ? undefined : place;
}

function messageOf(context: CallContext, request: CallRequest, detail: string): string {
  const base = "problem" in context.base ? "" : `${context.base.origin}${context.base.path}`;
  return printable(`${request.method} ${base}${request.path}: ${detail}`, request.secrets);
}
