import { canReadRanges } from "./abilities.ts";
import { readBody } from "./answer-body.ts";
import { CacheStoreError } from "./errors.ts";
import { freeMemory } from "./given-memory.ts";
import { PartialFile } from "./partial-file.ts";
import type { MissingPiece } from "./partial-file.ts";
import { retryTransfer } from "./retry.ts";
import type { RetryOptions } from "./retry.ts";
import type { ByteRange, CacheStore, ObjectFacts, ReadsRanges, StoredObject, TransferProgress } from "./store.ts";
import { turnBudget } from "./turn-budget.ts";
import type { TurnBudget } from "./turn-budget.ts";

export interface DownloadOptions extends RetryOptions {
  /**
   * Epoch milliseconds. An object that is not newer stays where it is.
   *
   * @default none: always download
   */
  readonly newerThanMs?: number | undefined;
  /** An object of this version stays where it is, however new it is. @default none */
  readonly unlessVersion?: string | undefined;
  /** Parts fetched at once, from a store that can read parts; 0 and 1 fetch the whole in one. @default 1 */
  readonly concurrency?: number | undefined;
  /** Length of one part in bytes. @default 16777216 */
  readonly chunkBytes?: number | undefined;
  /**
   * Waited for when the object is there as a whole, right before it takes the place of `path`: what is known of an older file there has to be
   * forgotten before the file is another one. What it throws ends the download, without a further try.
   *
   * @default nothing is to be done
   */
  readonly beforeReplace?: (() => Promise<void>) | undefined;
  /** How long all of it may take at most, in milliseconds: credentials that the store gets for it last as long. @default the store's own */
  readonly timeLimitMs?: number | undefined;
  /** Told how far the download is; goes back when it starts over. Must not throw. @default nobody listens */
  readonly onProgress?: ((progress: TransferProgress) => void) | undefined;
}

export type DownloadResult =
  /** There is no such object; no file was written. */
  | { readonly outcome: "absent" }
  /** The object is not newer than asked for, or has the version that is not wanted; no file was written. */
  | { readonly outcome: "up-to-date"; readonly facts: ObjectFacts }
  | { readonly outcome: "downloaded"; readonly facts: ObjectFacts };

/**
 * Name of the metadata that holds the SHA-256 of an object's content, in hexadecimal digits. Who stores it gets it verified by
 * {@link downloadToFile}.
 */
export const CONTENT_DIGEST = "sha256";

/**
 * Downloads an object into a file of mode 0600, whose modification time becomes the object's. The file appears, or replaces
 * the one that was there, only when it is complete; on any failure nothing of it stays.
 *
 * From a store that can read parts, a further try goes on where the one before ended, and parts are checked to be of one
 * version of the object; when it was replaced meanwhile, everything starts over, which counts as a try. Content whose digest is not
 * the stored one never appears; it starts over, too.
 *
 * @param path - absolute; its directory exists
 * @throws {CacheStoreError} of the last try; system errors of the file as they come, without a further try
 */
export async function downloadToFile(
  store: CacheStore,
  name: string,
  path: string,
  options: DownloadOptions = {},
): Promise<DownloadResult> {
  const { concurrency = 1, chunkBytes = 16 * 1024 * 1024, newerThanMs = -Infinity, unlessVersion } = options;
  const { onProgress = () => {}, timeLimitMs } = options;
  const what = { store: store.kind, operation: "get", object: name };
  const partial = new PartialFile(path);
  const transfer: Transfer = {
    store,
    name,
    newerThanMs,
    unlessVersion,
    concurrency,
    chunkBytes,
    partial,
    timeLimitMs,
    onProgress,
    budget: turnBudget(TURN_BYTES),
  };
  try {
    const result = await retryTransfer(what, (signal) => downloadVerified(transfer, signal), options);
    if (result.outcome === "downloaded") await partial.commit(result.facts.modifiedAtMs, options);
    return result;
  } finally {
    await partial.discard();
  }
}

interface Transfer {
  readonly store: CacheStore;
  readonly name: string;
  readonly newerThanMs: number;
  readonly unlessVersion: string | undefined;
  readonly concurrency: number;
  readonly chunkBytes: number;
  /** Outlives a try, so that the next one goes on where it ended. */
  readonly partial: PartialFile;
  readonly timeLimitMs: number | undefined;
  readonly onProgress: (progress: TransferProgress) => void;
  /** Of all parts together. */
  readonly budget: TurnBudget;
}

/** Some milliseconds of work where the processor is slow: copying, and beginning to write. */
const TURN_BYTES = 256 * 1024;

async function downloadVerified(transfer: Transfer, signal: AbortSignal): Promise<DownloadResult> {
  const result = await downloadOnce(transfer, signal);
  if (result.outcome !== "downloaded") return result;
  const digest = await transfer.partial.digest(signal);
  const expected = result.facts.metadata[CONTENT_DIGEST];
  if (digest === undefined || digest === expected) return result;
  transfer.partial.forget();
  const reason = `its content has the SHA-256 ${digest}, and ${expected} was stored with it`;
  const { store, name: object } = transfer;
  const { version } = result.facts;
  throw new CacheStoreError({
    code: "digest-mismatch",
    store: store.kind,
    operation: "get",
    object,
    reason,
    version,
  });
}

async function downloadOnce(transfer: Transfer, signal: AbortSignal): Promise<DownloadResult> {
  const { store, partial } = transfer;
  if (partial.facts !== undefined && canReadRanges(store)) return fetchMissing(transfer, store, partial.facts, signal);
  partial.forget();
  return (await unlessWanted(transfer, signal)) ?? (await inParts(transfer, signal)) ?? inOne(transfer, signal);
}

/**
 * Asks for the facts first where the object may not be wanted: of a body that is given up at its start, a megabyte or more is on its way
 * already, and the connection is lost.
 *
 * @returns `undefined` when the object is wanted, or who may read it may not ask
 */
async function unlessWanted(transfer: Transfer, signal: AbortSignal): Promise<DownloadResult | undefined> {
  const { store, name, newerThanMs, unlessVersion, timeLimitMs } = transfer;
  if (newerThanMs === -Infinity && unlessVersion === undefined) return undefined;
  try {
    const facts = await store.head(name, { signal, timeLimitMs });
    if (facts === undefined) return { outcome: "absent" };
    return isUpToDate(transfer, facts) ? { outcome: "up-to-date", facts } : undefined;
  } catch (error) {
    if (CacheStoreError.isInstance(error) && error.code === "access-denied") return undefined;
    throw error;
  }
}

/** Others may use that name for something else. */
function hasDigest({ metadata }: ObjectFacts): boolean {
  return /^[0-9a-f]{64}$/.test(metadata[CONTENT_DIGEST] ?? "");
}

function isUpToDate({ newerThanMs, unlessVersion }: Transfer, facts: ObjectFacts): boolean {
  return facts.modifiedAtMs <= newerThanMs || facts.version === unlessVersion;
}

async function inOne(transfer: Transfer, signal: AbortSignal): Promise<DownloadResult> {
  const { store, name, partial, timeLimitMs } = transfer;
  const object = await store.get(name, { signal, timeLimitMs });
  if (object === undefined) return { outcome: "absent" };
  const { facts, body } = object;
  if (isUpToDate(transfer, facts)) {
    await discard(body);
    return { outcome: "up-to-date", facts };
  }
  await partial.begin(facts, [{ start: 0, end: facts.bytes }], { hashes: hasDigest(facts), body });
  for (const piece of partial.missing) await copy(body, piece, transfer, signal);
  return { outcome: "downloaded", facts };
}

/** Resolves to `undefined` when fetching parts is not wanted, not possible, or not worth it. */
async function inParts(transfer: Transfer, signal: AbortSignal): Promise<DownloadResult | undefined> {
  const { store, concurrency, chunkBytes, partial } = transfer;
  if (concurrency <= 1 || !canReadRanges(store)) return undefined;
  const probe = await probeRanges(transfer, store, signal);
  if (probe === "ranges-ignored") return undefined;
  if (probe === "absent") return { outcome: "absent" };
  if (isUpToDate(transfer, probe)) return { outcome: "up-to-date", facts: probe };
  if (probe.bytes <= chunkBytes) return undefined;
  const starts = Array.from({ length: Math.ceil(probe.bytes / chunkBytes) }, (_, index) => index * chunkBytes);
  const pieces = starts.map((start) => ({ start, end: Math.min(start + chunkBytes, probe.bytes) }));
  await partial.begin(probe, pieces, { hashes: hasDigest(probe) });
  return fetchMissing(transfer, store, probe, signal);
}

/** Fetches what is missing of one version; when that version is gone, nothing of it is kept. */
async function fetchMissing(
  transfer: Transfer,
  store: CacheStore & ReadsRanges,
  facts: ObjectFacts,
  signal: AbortSignal,
): Promise<DownloadResult> {
  const { partial } = transfer;
  const pieces = partial.missing.values();
  const stop = new AbortController();
  const partSignal = AbortSignal.any([signal, stop.signal]);
  const fetchPieces = async (): Promise<void> => {
    for (const piece of pieces) {
      if (piece.start === piece.end) continue;
      const { start, end } = piece;
      const part = await openPart(transfer, store, { start, end, version: facts.version }, partSignal);
      if (part === undefined || part.facts.bytes !== facts.bytes) {
        if (part !== undefined) await discard(part.body);
        throw failure(transfer, "object-changed", "it was replaced while its parts were fetched");
      }
      await copy(part.body, piece, transfer, partSignal);
    }
  };
  const workers = Array.from({ length: Math.max(1, transfer.concurrency) }, async () => {
    try {
      await fetchPieces();
    } catch (error) {
      stop.abort(error);
      throw error;
    }
  });
  const ends = await Promise.allSettled(workers);
  signal.throwIfAborted();
  if (ends.every((end) => end.status === "fulfilled")) return { outcome: "downloaded", facts };
  // The first failure stopped the others: it is the one to tell.
  const error: unknown = stop.signal.reason;
  if (CacheStoreError.isInstance(error) && error.code === "object-changed") partial.forget();
  throw error;
}

async function probeRanges(
  { name, timeLimitMs }: Transfer,
  store: CacheStore & ReadsRanges,
  signal: AbortSignal,
): Promise<ObjectFacts | "absent" | "ranges-ignored"> {
  try {
    const first = await store.getRange(name, { start: 0, end: 1 }, { signal, timeLimitMs });
    if (first === undefined) return "absent";
    await discard(first.body);
    return first.facts;
  } catch (error) {
    if (CacheStoreError.isInstance(error) && error.code === "ranges-ignored") return "ranges-ignored";
    throw error;
  }
}

/** A later part must be a part: who answers it with the whole object has not understood which bytes are meant. */
async function openPart(
  transfer: Transfer,
  store: ReadsRanges,
  range: ByteRange,
  signal: AbortSignal,
): Promise<StoredObject | undefined> {
  try {
    return await store.getRange(transfer.name, range, { signal, timeLimitMs: transfer.timeLimitMs });
  } catch (error) {
    if (!CacheStoreError.isInstance(error) || error.code !== "ranges-ignored") throw error;
    throw failure(transfer, "object-changed", "a part was answered with the whole object", error);
  }
}

async function copy(
  body: ReadableStream<Uint8Array>,
  piece: MissingPiece,
  transfer: Transfer,
  signal: AbortSignal,
): Promise<void> {
  const { partial, onProgress, budget } = transfer;
  const wanted = piece.end - piece.start;
  let ownFailure: unknown;
  const told = (error: unknown): never => {
    ownFailure = error;
    throw error;
  };
  const taken = (chunk: Uint8Array): Promise<void> | undefined => {
    const { byteLength } = chunk;
    freeMemory(chunk);
    onProgress({ bytes: partial.takenBytes, totalBytes: partial.totalBytes });
    return budget(byteLength);
  };
  const take = (chunk: Uint8Array): Promise<void> | undefined => {
    if (chunk.byteLength > partial.missingBytes(piece)) {
      told(failure(transfer, "object-changed", `more came than the ${wanted} bytes that were announced`));
    }
    const writing = partial.write(chunk, piece);
    return writing === undefined ? taken(chunk) : writing.then(() => taken(chunk), told);
  };
  try {
    await readBody(body, take, signal);
  } catch (error) {
    // A body that breaks off is the transport's failure, whatever error its stream has; one of the file must not look like it.
    signal.throwIfAborted();
    if (ownFailure !== undefined || CacheStoreError.isInstance(error)) throw error;
    throw failure(transfer, "unavailable", "the body broke off", error);
  } finally {
    // A further try goes on behind what has come, so that must be there.
    await partial.flush(piece);
  }
  if (piece.start < piece.end) {
    throw failure(transfer, "truncated", `only ${wanted - (piece.end - piece.start)} of ${wanted} bytes came`);
  }
}

async function discard(body: ReadableStream<Uint8Array>): Promise<void> {
  // The connection may fail while nobody wants its bytes any more.
  await body.cancel().catch(() => {});
}

function failure(
  transfer: Transfer,
  code: "object-changed" | "truncated" | "unavailable",
  reason: string,
  cause?: unknown,
): CacheStoreError {
  const facts = { code, store: transfer.store.kind, operation: "get", object: transfer.name, reason };
  return new CacheStoreError(facts, cause === undefined ? undefined : { cause });
}
