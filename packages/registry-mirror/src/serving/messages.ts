import { bodyOf } from "../storage/body.ts";
import type { Body } from "../storage/body.ts";

/** A request of a client, as it came over the wire. */
export interface MirrorRequest {
  readonly method: string;
  /** Path and query, not decoded and not normalised. */
  readonly target: string;
  /** Names in lower case; several lines of one header joined by commas. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** Id of the registry that names without a host belong to on this address. @default that of the options */
  readonly entry?: string;
  /**
   * Host, with a port unless it is the usual one, of the registry that the client believes to talk to. No host is looked for in
   * the path then, `ns` is ignored, and the client has no second choice. @default it talks to the mirror
   */
  readonly registry?: string;
  /** Aborted when the client is gone. */
  readonly signal?: AbortSignal;
}

/** An answer of which nothing was sent yet. */
export interface MirrorResponse {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /**
   * Whoever does not read a {@link Body} to its end calls its `return`. One that fails must end in a reset connection,
   * never in a clean end.
   */
  readonly body: Body | Uint8Array | undefined;
}

/** Where an answer came from. */
export type CacheResult = "hit" | "join" | "miss" | "negative" | "revalidated" | "stale";

/** The answer to a failed request. @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes */
export function errorResponse(
  status: number,
  code: string,
  message: string,
  headers: Readonly<Record<string, string>> = {},
): MirrorResponse {
  const body = Buffer.from(JSON.stringify({ errors: [{ code, message, detail: null }] }));
  return jsonResponse(status, body, headers);
}

export function jsonResponse(
  status: number,
  body: Uint8Array,
  headers: Readonly<Record<string, string>> = {},
): MirrorResponse {
  return {
    status,
    headers: {
      "content-type": "application/json",
      "content-length": String(body.byteLength),
      ...apiVersion,
      ...headers,
    },
    body,
  };
}

/** The same for a document that many clients may read at once, each as slowly as it likes: of what lies there already nothing is copied. */
export function jsonResponseInPieces(
  status: number,
  pieces: readonly Uint8Array[],
  headers: Readonly<Record<string, string>> = {},
): MirrorResponse {
  const bytes = pieces.reduce((sum, piece) => sum + piece.byteLength, 0);
  if (bytes <= smallBytes) return jsonResponse(status, Buffer.concat(pieces), headers);
  const left = pieces.values();
  const body = bodyOf(
    async () => left.next().value,
    () => {},
  );
  return { ...jsonResponse(status, Buffer.alloc(0), { ...headers, "content-length": String(bytes) }), body };
}

const smallBytes = 64 * 1024;

/** @see https://distribution.github.io/distribution/spec/api/#api-version-check */
export const apiVersion: Readonly<Record<string, string>> = { "docker-distribution-api-version": "registry/2.0" };

/** For those who say nothing of when they are gone. */
export const neverAborted: AbortSignal = new AbortController().signal;
