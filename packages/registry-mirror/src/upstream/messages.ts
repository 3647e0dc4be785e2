import type { Readable } from "node:stream";
import type { Asker } from "./asker.ts";

/** One question to an upstream. */
export interface UpstreamRequest {
  readonly method: "GET" | "HEAD";
  /** `manifests`, `blobs`, ...: what follows the name, with its own slash-separated rest. */
  readonly resource: string;
  readonly name: string;
  readonly kind: "blob" | "list" | "manifest";
  readonly asker: Asker;
  readonly headers?: Readonly<Record<string, string>>;
  /** Less time than usual for the head of the answer. */
  readonly withinMs?: number | undefined;
  /** To be wrapped around waits for the client itself. @default nothing is done about them */
  readonly ownWait?: (<Result>(wait: Promise<Result>) => Promise<Result>) | undefined;
  readonly signal: AbortSignal;
}

/** A client's request that is passed on as it is. */
export interface RelayedRequest {
  readonly method: string;
  /** Path and query, as they came. */
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly authorization: string | undefined;
  /** Set for requests that change something. Their answer is waited for until the signal is aborted. */
  readonly body?: Readable | undefined;
  readonly signal: AbortSignal;
}

/** An answer of status 200 or 206. The body must be read to its end, or thrown away by {@link UpstreamAnswer.discard}. */
export interface UpstreamAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: AsyncIterable<Buffer>;
  /** Reads the body in place of its iterator; faster. A chunk's memory is gone after the call, which may return a promise to wait for. */
  readBody(take: (chunk: Uint8Array) => Promise<void> | undefined): Promise<void>;
  discard(): void;
}
