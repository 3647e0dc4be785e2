import { randomUUID } from "node:crypto";
import {
  CacheStoreError,
  chunksToSend,
  encodeHeaderText,
  retryTransfer,
  uploadParts,
  versionInAnswer,
} from "@fleetfoot/cache-backend";
import type { BodyPart, PutBody, PutCondition, PutMark, PutOptions, StoreCall } from "@fleetfoot/cache-backend";
import { kind } from "./failures.ts";
import type { GcsStoreOptions } from "./options.ts";
import { jsonOf } from "./service.ts";
import type { Answer, GcsService } from "./service.ts";
import { escape } from "./signed-url.ts";

/** What the service says of an object that it has stored. @see https://cloud.google.com/storage/docs/json_api/v1/objects */
export interface StoredResource {
  readonly generation: string;
  /** RFC 3339. */
  readonly updated: string;
}

/** An upload to be made. */
export interface Upload {
  readonly service: GcsService;
  readonly call: StoreCall;
  readonly body: PutBody;
  readonly condition: PutCondition | undefined;
  /** There when there is a condition. */
  readonly mark: PutMark | undefined;
  readonly putOptions: PutOptions;
  readonly options: GcsStoreOptions;
}

/** Sends a body: in one request, or, when it is longer than a piece, in a session that goes on after a failure. */
export async function upload(order: Upload): Promise<StoredResource> {
  const { body, options, putOptions } = order;
  const { partBytes = options.partBytes ?? 16 * mebibyte } = putOptions;
  const pieceBytes = Math.max(1, Math.ceil(partBytes / pieceUnit)) * pieceUnit;
  return body.bytes <= pieceBytes ? uploadWhole(order) : uploadInPieces(order, pieceBytes);
}

/** @see https://cloud.google.com/storage/docs/uploading-objects#rest-upload-objects (multipart) */
async function uploadWhole(order: Upload): Promise<StoredResource> {
  const { service, call, body, mark, putOptions } = order;
  const boundary = `fleetfoot-${randomUUID()}`;
  const type = "application/octet-stream";
  const head = Buffer.from(
    `--${boundary}\r\ncontent-type: application/json; charset=UTF-8\r\n\r\n${describe(order)}\r\n--${boundary}\r\ncontent-type: ${type}\r\n\r\n`,
  );
  const tail = Buffer.from(`\r\n--${boundary}--\r\n`);
  const [stored] = await uploadParts(
    body,
    call,
    async (part, signal) => {
      const content = async function* (): AsyncGenerator<Uint8Array, void, void> {
        yield head;
        yield* part.chunks(signal);
        yield tail;
      };
      mark?.requesting();
      const answer = await service.send(
        { ...call, signal },
        {
          method: "POST",
          url: uploadUrl(order, "multipart"),
          headers: {
            "content-type": `multipart/related; boundary=${boundary}`,
            "content-length": String(head.byteLength + part.bytes + tail.byteLength),
          },
          body: chunksToSend(content()),
        },
      );
      return resourceOf(call, answer);
    },
    { ...retryOf(order), partBytes: Math.max(1, body.bytes), signal: call.signal, onProgress: putOptions.onProgress },
  );
  return stored ?? unreachable();
}

/** @see https://cloud.google.com/storage/docs/performing-resumable-uploads */
async function uploadInPieces(order: Upload, pieceBytes: number): Promise<StoredResource> {
  const { service, call, body, mark, putOptions } = order;
  const tries = { ...retryOf(order), signal: call.signal };
  const session = await retryTransfer(call, (signal) => beginSession(order, { ...call, signal }), tries);
  const tried = new Set<number>();
  try {
    const stored = await uploadParts(
      body,
      call,
      async (part, signal) => {
        const trying = { ...call, signal };
        const end = part.start + part.bytes;
        if (end === body.bytes) mark?.requesting();
        // What the service has of a piece that was broken off need not be sent again.
        const known = tried.has(part.index) ? await askProgress(service, trying, session, body.bytes) : part.start;
        tried.add(part.index);
        if (typeof known !== "number") return known;
        if (known >= end) return undefined;
        if (known < part.start) throw broken(call, "the service lost what it had", false);
        const answer = await service.sendPresigned(trying, {
          method: "PUT",
          url: session,
          headers: {
            "content-length": String(end - known),
            "content-range": `bytes ${known}-${end - 1}/${body.bytes}`,
          },
          body: chunksToSend(skip(part.chunks(signal), known - part.start)),
          accepts: [308],
        });
        if (answer.status !== 308) return resourceOf(call, answer);
        await answer.body.dump();
        if (receivedBytes(answer) < end) throw broken(call, "the service took only a part of a piece");
        return undefined;
      },
      {
        ...tries,
        partBytes: pieceBytes,
        // A session takes its pieces in their order.
        concurrency: 1,
        onProgress: putOptions.onProgress,
      },
    );
    return stored.at(-1) ?? unreachable();
  } catch (error) {
    await forget(service, call, session);
    throw error;
  }
}

const mebibyte = 1024 * 1024;
const pieceUnit = 256 * 1024;
/** Who aborts an upload waits for the end of this. */
const forgetTimeoutMs = { whenAborted: 3000, otherwise: 30_000 };

/** @returns the URL of the session */
async function beginSession(order: Upload, call: StoreCall): Promise<string> {
  const { headers, body: nothing } = await order.service.send(call, {
    method: "POST",
    url: uploadUrl(order, "resumable"),
    headers: {
      "content-type": "application/json; charset=UTF-8",
      "x-upload-content-type": "application/octet-stream",
      "x-upload-content-length": String(order.body.bytes),
    },
    body: describe(order),
  });
  await nothing.dump();
  const session = headers["location"];
  if (session === undefined) throw broken(call, "the service began no session");
  return session;
}

/** @returns how many bytes the service has, or the object when it has all of them */
async function askProgress(
  service: GcsService,
  call: StoreCall,
  session: string,
  bytes: number,
): Promise<number | StoredResource> {
  const answer = await service.sendPresigned(call, {
    method: "PUT",
    url: session,
    headers: { "content-length": "0", "content-range": `bytes */${bytes}` },
    accepts: [308],
  });
  if (answer.status !== 308) return resourceOf(call, answer);
  await answer.body.dump();
  return receivedBytes(answer);
}

function receivedBytes({ headers }: Answer): number {
  const last = /^bytes=0-(\d+)$/.exec(headers["range"] ?? "")?.[1];
  return last === undefined ? 0 : Number(last) + 1;
}

/** The service forgets sessions by itself after a week, so a failure is not worth telling. */
async function forget(service: GcsService, call: StoreCall, session: string): Promise<void> {
  // Not under the caller's signal: it may be the reason why the upload is given up.
  const limitMs = call.signal?.aborted === true ? forgetTimeoutMs.whenAborted : forgetTimeoutMs.otherwise;
  const forgetting = { ...call, signal: AbortSignal.timeout(limitMs) };
  const order = { method: "DELETE", url: session, headers: { "content-length": "0" }, accepts: [499] } as const;
  await service.sendPresigned(forgetting, order).then(
    ({ body }) => body.dump(),
    () => {},
  );
}

function uploadUrl({ service, call, condition, options }: Upload, uploadType: "multipart" | "resumable"): string {
  const query = new URLSearchParams({ uploadType, name: call.object });
  if (condition !== undefined) query.set("ifGenerationMatch", "absent" in condition ? "0" : condition.version);
  return `${service.endpoint}/upload/storage/v1/b/${escape(options.bucket)}/o?${query}`;
}

function describe({ call, mark, putOptions: { metadata = {} } }: Upload): string {
  // The other interface of the service hands metadata out as headers, so it is spelled for them.
  const spelled = Object.entries({ ...metadata, ...mark?.metadata }).map(([name, value]) => [
    name,
    encodeHeaderText(value),
  ]);
  return JSON.stringify({
    name: call.object,
    contentType: "application/octet-stream",
    metadata: Object.fromEntries(spelled) as Record<string, string>,
  });
}

async function resourceOf(call: StoreCall, answer: Answer): Promise<StoredResource> {
  const resource = (await jsonOf(call, answer)) as Partial<StoredResource>;
  const { updated = "" } = resource;
  return { updated, generation: versionInAnswer(call, resource.generation, "generation") };
}

async function* skip(chunks: ReturnType<BodyPart["chunks"]>, bytes: number): ReturnType<BodyPart["chunks"]> {
  let rest = bytes;
  for await (const chunk of chunks) {
    if (rest < chunk.byteLength) yield rest === 0 ? chunk : chunk.subarray(rest);
    rest = Math.max(0, rest - chunk.byteLength);
  }
}

function retryOf({ options, putOptions }: Upload) {
  const { maxAttempts, retryDelayMs, sleep } = options;
  return { maxAttempts, retryDelayMs, sleep, attemptTimeoutMs: putOptions.attemptTimeoutMs };
}

function broken({ operation, object }: StoreCall, reason: string, retryable = true): CacheStoreError {
  return new CacheStoreError({ code: "unavailable", store: kind, operation, object, reason, retryable });
}

function unreachable(): never {
  throw new Error("unreachable: the last piece is answered with the object");
}
