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
  /** What a fault rule did to it, for example `answer 429`. */
  readonly fault: string | undefined;
}

type MutableRecord = { -readonly [Field in keyof RequestRecord]: RequestRecord[Field] };

/** A record that goes on as the request does. */
interface Recording {
  readonly record: MutableRecord;
  /** Reads a JSON body, so that the record has it, and any other as the returned request is read. */
  readonly read: () => Promise<Request>;
  /** What was not read by now will not be. */
  readonly complete: () => void;
}

/** Begins a record. */
export function recordRequest(
  request: Request,
  facts: { readonly number: number; readonly atMs: number; readonly connectionId: string | undefined },
): Recording {
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
    read: async () => {
      if (request.body === null) return request;
      const noted = request.body.pipeThrough(note);
      const body = isJson ? await readAhead(noted, maxJsonBytes) : noted;
      if (isJson && record.bodyBytes <= maxJsonBytes) record.json = parse(Buffer.concat(chunks).toString("utf8"));
      return new Request(request, { method: request.method, body, duplex: "half" });
    },
    complete: () => {
      record.bodySha256 = hash.digest("hex");
    },
  };
}

/** The same bytes, of which the first are here already. */
async function readAhead(body: ReadableStream<Uint8Array>, maxBytes: number): Promise<ReadableStream<Uint8Array>> {
  const reader = body.getReader();
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  let isDone = false;
  while (!isDone && bytes <= maxBytes) {
    const { done, value } = await reader.read();
    isDone = done;
    if (value === undefined) continue;
    chunks.push(value);
    bytes += value.length;
  }
  return new ReadableStream<Uint8Array>({
    pull: async (controller) => {
      const chunk = chunks.shift() ?? (isDone ? undefined : (await reader.read()).value);
      if (chunk === undefined) controller.close();
      else controller.enqueue(chunk);
    },
    cancel: (reason) => reader.cancel(reason),
  });
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
