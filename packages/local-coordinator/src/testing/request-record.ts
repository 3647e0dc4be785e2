import { createHash } from "node:crypto";

import type { CallKind } from "../http/route.ts";
import { routeOf } from "../http/route.ts";

/** One request as it came in. */
export interface RequestRecord {
  /** Position among all requests, from 1. */
  readonly number: number;
  /** Epoch milliseconds. */
  readonly atMs: number;
  readonly kind: CallKind;
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  /** Names in lower case; values of those that carry tokens are `[redacted]`. */
  readonly headers: Readonly<Record<string, string>>;
  /** Job or runner that the path names; 0 when it names none. */
  readonly id: number;
  readonly connectionId: string | undefined;
  /** Undefined while there is no answer, and when the connection was cut. */
  readonly status: number | undefined;
  readonly bodyBytes: number;
  /** Hexadecimal; of what was read, which is not everything when the request was refused early. */
  readonly bodySha256: string;
  /** A JSON body of moderate size, tokens `[redacted]`; undefined for any other. */
  readonly json: unknown;
  /** What a fault rule did to it. */
  readonly fault: string | undefined;
}

export type MutableRecord = { -readonly [Field in keyof RequestRecord]: RequestRecord[Field] };

/** Begins a record; the body is described as it is read from the returned request. */
export function recordRequest(
  request: Request,
  facts: { readonly number: number; readonly atMs: number; readonly connectionId: string | undefined },
): { readonly record: MutableRecord; readonly request: Request; readonly complete: () => void } {
  const { pathname, searchParams } = new URL(request.url);
  const { kind, id } = routeOf(request.method, pathname);
  const hash = createHash("sha256");
  const chunks: Uint8Array[] = [];
  const record: MutableRecord = {
    ...facts,
    kind,
    id,
    method: request.method,
    path: pathname,
    query: Object.fromEntries(searchParams),
    headers: withoutTokens(request.headers),
    status: undefined,
    bodyBytes: 0,
    bodySha256: "",
    json: undefined,
    fault: undefined,
  };
  const isJson = request.headers.get("content-type")?.startsWith("application/json") === true;
  const note = new TransformStream<Uint8Array, Uint8Array>({
    transform: (chunk, controller) => {
      hash.update(chunk);
      record.bodyBytes += chunk.length;
      if (isJson && record.bodyBytes <= maxJsonBytes) chunks.push(chunk.slice());
      controller.enqueue(chunk);
    },
  });
  return {
    record,
    request:
      request.body === null
        ? request
        : new Request(request, { method: request.method, body: request.body.pipeThrough(note), duplex: "half" }),
    complete: () => {
      record.bodySha256 = hash.digest("hex");
      if (isJson && record.bodyBytes <= maxJsonBytes) record.json = parse(Buffer.concat(chunks).toString("utf8"));
    },
  };
}

function withoutTokens(headers: Headers): Readonly<Record<string, string>> {
  return Object.fromEntries([...headers].map(([name, value]) => [name, secretHeaders.has(name) ? redacted : value]));
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text, (key, value: unknown) => (key === "token" && typeof value === "string" ? redacted : value));
  } catch {
    // A body that is no JSON is described by its hash alone.
    return undefined;
  }
}

const redacted = "[redacted]";
const secretHeaders: ReadonlySet<string> = new Set([
  "runner-token",
  "job-token",
  "private-token",
  "authorization",
  "cookie",
]);
const maxJsonBytes = 256 * 1024;
