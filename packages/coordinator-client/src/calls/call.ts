import type { Answer, CallContext, CallRequest, Exchange } from "./exchange.ts";
import { TransportError } from "../errors.ts";
import { describeError, statusLine } from "../error-text.ts";
import { printable } from "../printable.ts";
import { CLIENT_ERROR_STATUS, NO_ANSWER_STATUS } from "../results.ts";
import type { CallFacts } from "../results.ts";
import { sendFollowing } from "../transport/redirects.ts";
import type { Retrier } from "../retry/retry.ts";
import type { Transport, WireRequest, WireResponse } from "../transport/transport.ts";
import { readJson, readServerMessage } from "./answer-body.ts";
import { describeRefusal, failureMessage, lineWithoutResponse, undecodable } from "./wording.ts";

/**
 * Makes one call through retry layer and redirects, and reads the answer.
 *
 * @throws `request.signal.reason`, nothing else
 */
export async function call(context: CallContext, request: CallRequest): Promise<Answer> {
  const exchange = await startCall(context, request);
  return "answer" in exchange ? exchange.answer : await readAnswer(context, request, exchange.response, exchange.facts);
}

/** How the requests of a call are sent, where not as usual. */
export interface Route {
  /** @default the client's retry rule */
  readonly retry?: Retrier;
  /** @default follows redirects */
  readonly send?: (transport: Transport, wire: WireRequest) => Promise<WireResponse>;
}

/** Makes one call up to the headers of the answer. */
export async function startCall(context: CallContext, request: CallRequest, route: Route = {}): Promise<Exchange> {
  const { base, requestId: newRequestId } = context;
  const { method, path, signal, onRetry } = request;
  const { retry = context.retry, send = sendFollowing } = route;
  const requestId = newRequestId();
  const startedAt = context.now();
  if ("problem" in base) {
    signal?.throwIfAborted();
    const facts = { status: CLIENT_ERROR_STATUS, attempts: 0, throttled: false, requestId, message: base.problem };
    return { answer: answerWithoutResponse(context, request, facts, startedAt) };
  }
  const wire = wireRequest(context, base, request, requestId);
  try {
    const { answer, attempts, throttled } = await retry(
      {
        method,
        url: `${base.origin}${base.path}${path}`,
        signal,
        onRetry: onRetry && ((facts) => onRetry({ ...facts, requestId })),
      },
      countedAttempts(context, request, () => send(context.transport, wire)),
    );
    tellCall(context, request, { status: answer.status, attempts, throttled }, startedAt);
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
    return { answer: answerWithoutResponse(context, request, facts, startedAt) };
  }
}

/** What goes onto the wire for one call. */
export function wireRequest(
  context: CallContext,
  base: { readonly origin: string; readonly path: string },
  request: CallRequest,
  requestId: string,
): WireRequest {
  const { method, path, query = "", headers, body, signal } = request;
  return {
    method,
    origin: base.origin,
    path: `${base.path}${path}${query}`,
    headers: { ...headers, "user-agent": context.userAgent, "x-request-id": requestId },
    body,
    signal,
    headersTimeoutMs: request.headersTimeoutMs ?? context.headersTimeoutMs,
    requestTimeoutMs: request.requestTimeoutMs ?? context.requestTimeoutMs,
  };
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

function answerWithoutResponse(
  context: CallContext,
  request: CallRequest,
  facts: CallFacts,
  startedAt: number,
): Answer {
  tellCall(context, request, facts, startedAt);
  return { facts, statusLine: lineWithoutResponse(facts.status), json: undefined, header: () => undefined };
}

function tellCall(
  context: CallContext,
  { method, endpoint }: CallRequest,
  { status, attempts, throttled }: Pick<CallFacts, "status" | "attempts" | "throttled">,
  startedAt: number,
): void {
  context.onCall({ method, endpoint, status, attempts, throttled, durationMs: context.now() - startedAt });
}

/** The same sending, with a word to the observer about each time. */
function countedAttempts(
  { now, onAttempt }: CallContext,
  { method, endpoint, signal }: CallRequest,
  send: () => Promise<WireResponse>,
): () => Promise<WireResponse> {
  let attempt = 0;
  return async () => {
    attempt += 1;
    const sentAt = now();
    const tell = (status: number): void => onAttempt({ method, endpoint, status, attempt, durationMs: now() - sentAt });
    const response = await send().catch((error: unknown) => {
      // Whoever is no longer interested has no answer to be counted.
      if (signal?.aborted !== true) tell(NO_ANSWER_STATUS);
      throw error;
    });
    tell(response.status);
    return response;
  };
}
