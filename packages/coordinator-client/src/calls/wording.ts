import { printable } from "../printable.ts";
import type { Logger } from "../logger.ts";
import { CLIENT_ERROR_STATUS, NO_ANSWER_STATUS } from "../results.ts";
import type { CallFacts } from "../results.ts";
import type { WireResponse } from "../transport/transport.ts";
import type { Answer, CallContext, CallRequest } from "./exchange.ts";

/** The message of a call that failed: what was attempted, then what came of it; no token is in it. */
export function failureMessage(context: CallContext, request: CallRequest, detail: string): string {
  const base = "problem" in context.base ? "" : `${context.base.origin}${context.base.path}`;
  return printable(`${request.method} ${base}${request.path}: ${detail}`, request.secrets);
}

/** What came of a call that was refused, with what the server said and with where it pointed to in vain. */
export function describeRefusal(
  request: CallRequest,
  response: WireResponse,
  line: string,
  said: string | undefined,
): string {
  const detail = said === undefined || said === line ? line : `${line} (${said})`;
  const target = redirectTarget(response, request);
  return target === undefined ? detail : `${detail}, not followed to ${target}`;
}

/** Stands for the status line where there is no response. */
export function lineWithoutResponse(status: number): string {
  return status === CLIENT_ERROR_STATUS ? `${status} unusable URL` : `${status} no answer`;
}

/** Turns an answer that has the right status but no usable content into a failed call. */
export function undecodable(
  context: CallContext,
  request: CallRequest,
  facts: CallFacts,
  line: string,
  problem: string,
): Pick<Answer, "facts" | "statusLine" | "json"> {
  const message = failureMessage(context, request, `${line}, but ${problem}`);
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

function redirectTarget(response: WireResponse, request: CallRequest): string | undefined {
  const location = response.status >= 300 && response.status < 400 ? response.header("location") : undefined;
  if (location === undefined || !URL.canParse(location, "http://relative.invalid")) {
    return undefined;
  }
  const { origin, pathname } = new URL(location, "http://relative.invalid");
  const place = origin === "http://relative.invalid" ? pathname : `${origin}${pathname}`;
  return request.method === "GET" ? undefined : place;
}
