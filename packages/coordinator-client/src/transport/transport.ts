import type { AttemptAnswer } from "../retry/retry.ts";

/** Bytes that are the same on every attempt: a block, or a source that can be opened again. */
export type RequestBody = Uint8Array | (() => ReadableStream<Uint8Array>);

/** One request on the wire. Origin and path are apart so that nobody parses a URL per call. */
export interface WireRequest {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** `https://host:port` */
  readonly origin: string;
  /** Path with query. */
  readonly path: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: RequestBody | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Longest time until the answer's headers, counted from the last byte sent. */
  readonly headersTimeoutMs: number;
  /** Longest time until the answer's last byte. */
  readonly requestTimeoutMs: number;
}

/** One answer. Its body must be taken by one of `bytes`, `reader` and `discard`, or the connection is lost. */
export interface WireResponse extends AttemptAnswer {
  readonly statusText: string;
  /** The body in one piece; undefined when it is longer or takes longer than allowed, which drops the connection. */
  bytes(maxBytes: number, maxMs?: number): Promise<Uint8Array | undefined>;
  /** The body as it arrives. */
  reader(): BodyReader;
}

export interface BodyReader {
  /** The next piece; undefined at the end. Rejects when the connection breaks or the body is shorter than announced. */
  read(): Promise<Uint8Array | undefined>;
  /** Drops the rest and the connection at once. */
  readonly cancel: () => void;
}

/** What the tools of a job need for TLS with the coordinator, as PEM text. */
export interface ServerCertificates {
  /** Authorities to trust: those of the configured file, else the certificates that the coordinator showed. */
  readonly authority: string;
  readonly certificate: string | undefined;
  readonly key: string | undefined;
}

/** Sends one request. Rejects with `signal.reason` when aborted, with any other error when there is no answer. */
export interface Transport {
  send(request: WireRequest): Promise<WireResponse>;
  /** Undefined for an origin without TLS, or whose connections are somebody else's. */
  certificatesOf(origin: string): ServerCertificates | undefined;
  /** @param options.force - breaks the connections in use instead of waiting for them */
  close(options?: { readonly force?: boolean }): Promise<void>;
}

/** How much of a body that nobody wants is read so that its connection can be used again. */
export const DISCARD_MAX_BYTES = 1_000_000;

/** How long a body that nobody wants may take. */
export const DISCARD_MAX_MS = 1000;
