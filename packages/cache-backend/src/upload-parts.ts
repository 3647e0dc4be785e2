import { readExactly } from "./bodies.ts";
import type { BodyFacts } from "./bodies.ts";
import { CacheStoreError } from "./errors.ts";
import { retryTransfer } from "./retry.ts";
import type { RetryOptions } from "./retry.ts";
import type { PutBody, TransferProgress } from "./store.ts";

/** One part of a body, to be sent in one request. */
export interface BodyPart {
  /** From 0. */
  readonly index: number;
  /** Its first byte in the body. */
  readonly start: number;
  /** Its length in bytes. */
  readonly bytes: number;
  /**
   * Its content. Each try calls it once.
   *
   * @throws {CacheStoreError} while it is read, code `length-mismatch`, when the body does not have the announced length
   */
  chunks(signal: AbortSignal): AsyncGenerator<Uint8Array, void, void>;
}

export interface UploadPartsOptions extends RetryOptions {
  /** Length of a part in bytes; the last one may be shorter. */
  readonly partBytes: number;
  /** Parts that are sent at once. @default 4 */
  readonly concurrency?: number | undefined;
  readonly onProgress?: ((progress: TransferProgress) => void) | undefined;
}

/**
 * Sends a body in parts, several at once, and each part again by itself when it fails. A body that can be opened anywhere is
 * never held in memory; of another one as many parts are as are sent at once.
 *
 * @param send - sends one part; the signal is that of its try
 * @returns what `send` gave for each part, in order; an empty body is one empty part
 * @throws the failure of the first part that fails for good; all others are ended before
 */
export async function uploadParts<Receipt>(
  body: PutBody,
  call: BodyFacts,
  send: (part: BodyPart, signal: AbortSignal) => Promise<Receipt>,
  options: UploadPartsOptions,
): Promise<Receipt[]> {
  const { partBytes, concurrency = 4, onProgress = () => {}, signal } = options;
  const count = Math.max(1, Math.ceil(body.bytes / partBytes));
  const stop = new AbortController();
  const partSignal = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]);
  const parts = body.openRange === undefined ? readInOrder(body, call, options, partSignal) : openAnywhere(body, call);
  const receipts: Receipt[] = [];
  let sentBytes = 0;
  let next = 0;

  async function sendPart(part: BodyPart): Promise<void> {
    receipts[part.index] = await retryTransfer(
      call,
      async (trySignal) => {
        let sourceFailure: unknown;
        let tryBytes = 0;
        const counted = async function* (): AsyncGenerator<Uint8Array, void, void> {
          const chunks = part.chunks(trySignal);
          try {
            for await (const chunk of chunks) {
              yield chunk;
              tryBytes += chunk.byteLength;
              sentBytes += chunk.byteLength;
              onProgress({ bytes: sentBytes, totalBytes: body.bytes });
            }
          } catch (error) {
            sourceFailure = error;
            throw error;
          }
        };
        try {
          return await send({ ...part, chunks: counted }, trySignal);
        } catch (error) {
          sentBytes -= tryBytes;
          trySignal.throwIfAborted();
          // What the transport says of a body that failed hides the reason.
          throw sourceFailure ?? error;
        }
      },
      { ...options, signal: partSignal },
    );
  }

  async function work(): Promise<void> {
    while (next < count) {
      const index = next;
      next += 1;
      const start = index * partBytes;
      await sendPart(await parts({ index, start, bytes: Math.min(partBytes, body.bytes - start) }));
    }
  }

  const workers = Array.from({ length: Math.min(concurrency, count) }, async () => {
    try {
      await work();
    } catch (error) {
      stop.abort(error);
      throw error;
    }
  });
  const ends = await Promise.allSettled(workers);
  await parts.end?.();
  signal?.throwIfAborted();
  if (ends.some((end) => end.status === "rejected")) throw stop.signal.reason;
  return receipts;
}

type PartPlace = Pick<BodyPart, "index" | "start" | "bytes">;

interface PartSource {
  (place: PartPlace): Promise<BodyPart>;
  end?(): Promise<void>;
}

function openAnywhere(body: PutBody, call: BodyFacts): PartSource {
  return async (place) => ({
    ...place,
    chunks: (signal) => {
      const { start, bytes } = place;
      // An empty part cannot be opened as a range, but the body must be seen to be empty.
      const open = (): ReadableStream<Uint8Array> =>
        bytes === 0 ? body.open() : (body.openRange?.(start, start + bytes) ?? body.open());
      return readExactly({ bytes, open }, call, signal);
    },
  });
}

/** A body that is read once: a single part streams, several are taken into memory one after the other. */
function readInOrder(
  body: PutBody,
  call: BodyFacts,
  { partBytes }: UploadPartsOptions,
  signal: AbortSignal,
): PartSource {
  if (body.bytes <= partBytes) {
    return async (place) => ({ ...place, chunks: (trySignal) => readExactly(body, call, trySignal) });
  }
  const all = readExactly(body, call, signal);
  let rest: Uint8Array | undefined;
  let turn: Promise<unknown> = Promise.resolve();

  async function take(bytes: number, isLast: boolean): Promise<readonly Uint8Array[]> {
    const taken: Uint8Array[] = [];
    for (let missing = bytes; missing > 0;) {
      const chunk = rest ?? (await nextChunk());
      // Copied, because the source may use its buffer again.
      taken.push(chunk.slice(0, missing));
      rest = chunk.byteLength > missing ? chunk.subarray(missing) : undefined;
      missing -= Math.min(missing, chunk.byteLength);
    }
    // Only the end tells whether the body is as long as it was said to be.
    if (isLast) for (let next = await all.next(); next.done !== true; next = await all.next());
    return taken;
  }

  async function nextChunk(): Promise<Uint8Array> {
    const next = await all.next();
    if (next.done !== true) return next.value;
    throw new CacheStoreError({ code: "length-mismatch", ...call, reason: "the body ended before its last part" });
  }

  const source: PartSource = async (place) => {
    const isLast = place.start + place.bytes === body.bytes;
    const taking = turn.then(() => take(place.bytes, isLast));
    turn = taking.catch(() => {});
    const chunks = await taking;
    return {
      ...place,
      async *chunks(): AsyncGenerator<Uint8Array, void, void> {
        yield* chunks;
      },
    };
  };
  source.end = async () => {
    await turn;
    await all.return();
  };
  return source;
}
