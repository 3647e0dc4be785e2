import type { AttemptRecord, CallRecord } from "../client.ts";
import type { Logger } from "../logger.ts";
import type { CallFacts } from "../results.ts";
import type { Retrier } from "../retry/retry.ts";
import type { RunnerInfo } from "../runner-info.ts";
import type { Secret } from "../secret.ts";
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
  readonly onAttempt: (record: AttemptRecord) => void;
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
