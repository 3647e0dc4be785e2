import { randomUUID } from "node:crypto";
import { open, rename, rm } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import { canReadRanges } from "./abilities.ts";
import { readChunks } from "./bodies.ts";
import { CacheStoreError } from "./errors.ts";
import { retryTransfer } from "./retry.ts";
import type { RetryOptions } from "./retry.ts";
import type { ByteRange, CacheStore, ObjectFacts, ReadsRanges, StoredObject } from "./store.ts";

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
}

export type DownloadResult =
  /** There is no such object; no file was written. */
  | { readonly outcome: "absent" }
  /** The object is not newer than asked for, or has the version that is not wanted; no file was written. */
  | { readonly outcome: "up-to-date"; readonly facts: ObjectFacts }
  | { readonly outcome: "downloaded"; readonly facts: ObjectFacts };

/**
 * Downloads an object into a file of mode 0600, whose modification time becomes the object's. The file appears, or replaces
 * the one that was there, only when it is complete; on any failure nothing of it stays.
 *
 * With `concurrency` the parts are checked to be of one version of the object; when it was replaced meanwhile, everything
 * starts over, which counts as a try.
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
  const what = { store: store.kind, operation: "get", object: name };
  const transfer: Transfer = { store, name, newerThanMs, unlessVersion, concurrency, chunkBytes };
  return retryTransfer(what, (signal) => downloadOnce(transfer, path, signal), options);
}

interface Transfer {
  readonly store: CacheStore;
  readonly name: string;
  readonly newerThanMs: number;
  readonly unlessVersion: string | undefined;
  readonly concurrency: number;
  readonly chunkBytes: number;
}

async function downloadOnce(transfer: Transfer, path: string, signal: AbortSignal): Promise<DownloadResult> {
  const temporary = join(dirname(path), `cache-${hostname()}-${process.pid}-${randomUUID()}.part`);
  let file: FileHandle | undefined;
  const openFile = async (): Promise<FileHandle> => (file ??= await open(temporary, "wx", 0o600));
  try {
    const result = (await inParts(transfer, openFile, signal)) ?? (await inOne(transfer, openFile, signal));
    if (result.outcome === "downloaded") {
      const handle = await openFile();
      await handle.utimes(new Date(), new Date(result.facts.modifiedAtMs));
      await handle.close();
      file = undefined;
      signal.throwIfAborted();
      await rename(temporary, path);
    }
    return result;
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  } finally {
    await file?.close();
  }
}

function isUpToDate({ newerThanMs, unlessVersion }: Transfer, facts: ObjectFacts): boolean {
  return facts.modifiedAtMs <= newerThanMs || facts.version === unlessVersion;
}

async function inOne(
  transfer: Transfer,
  openFile: () => Promise<FileHandle>,
  signal: AbortSignal,
): Promise<DownloadResult> {
  const object = await transfer.store.get(transfer.name, { signal });
  if (object === undefined) return { outcome: "absent" };
  const { facts, body } = object;
  if (isUpToDate(transfer, facts)) {
    await discard(body);
    return { outcome: "up-to-date", facts };
  }
  await copy(body, { file: await openFile(), start: 0, end: facts.bytes, transfer, signal });
  return { outcome: "downloaded", facts };
}

/** Resolves to `undefined` when fetching parts is not wanted, not possible, or not worth it. */
async function inParts(
  transfer: Transfer,
  openFile: () => Promise<FileHandle>,
  signal: AbortSignal,
): Promise<DownloadResult | undefined> {
  const { store, name, concurrency, chunkBytes } = transfer;
  if (concurrency <= 1 || !canReadRanges(store)) return undefined;
  const probe = await probeRanges(store, name, signal);
  if (probe === "ranges-ignored") return undefined;
  if (probe === "absent") return { outcome: "absent" };
  if (isUpToDate(transfer, probe)) return { outcome: "up-to-date", facts: probe };
  if (probe.bytes <= chunkBytes) return undefined;

  const file = await openFile();
  const starts = Array.from({ length: Math.ceil(probe.bytes / chunkBytes) }, (_, index) => index * chunkBytes).values();
  const stop = new AbortController();
  const partSignal = AbortSignal.any([signal, stop.signal]);
  const fetchParts = async (): Promise<void> => {
    for (const start of starts) {
      const end = Math.min(start + chunkBytes, probe.bytes);
      const part = await openPart(transfer, store, { start, end, version: probe.version }, partSignal);
      if (part === undefined || part.facts.bytes !== probe.bytes) {
        if (part !== undefined) await discard(part.body);
        throw failure(transfer, "object-changed", "it was replaced while its parts were fetched");
      }
      await copy(part.body, { file, start, end, transfer, signal: partSignal });
    }
  };
  const workers = Array.from({ length: concurrency }, async () => {
    try {
      await fetchParts();
    } catch (error) {
      stop.abort(error);
      throw error;
    }
  });
  const ends = await Promise.allSettled(workers);
  signal.throwIfAborted();
  // The first failure stopped the others: it is the one to tell.
  if (ends.some((end) => end.status === "rejected")) throw stop.signal.reason;
  return { outcome: "downloaded", facts: probe };
}

async function probeRanges(
  store: CacheStore & ReadsRanges,
  name: string,
  signal: AbortSignal,
): Promise<ObjectFacts | "absent" | "ranges-ignored"> {
  try {
    const first = await store.getRange(name, { start: 0, end: 1 }, { signal });
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
    return await store.getRange(transfer.name, range, { signal });
  } catch (error) {
    if (!CacheStoreError.isInstance(error) || error.code !== "ranges-ignored") throw error;
    throw failure(transfer, "object-changed", "a part was answered with the whole object", error);
  }
}

interface Part {
  readonly file: FileHandle;
  readonly start: number;
  readonly end: number;
  readonly transfer: Transfer;
  readonly signal: AbortSignal;
}

async function copy(body: ReadableStream<Uint8Array>, { file, start, end, transfer, signal }: Part): Promise<void> {
  let offset = start;
  for await (const chunk of ownErrors(readChunks(body, signal), transfer, signal)) {
    if (offset + chunk.byteLength > end) {
      throw failure(transfer, "object-changed", `more came than the ${end - start} bytes that were announced`);
    }
    await writeAll(file, chunk, offset);
    offset += chunk.byteLength;
  }
  if (offset < end) {
    throw failure(transfer, "truncated", `only ${offset - start} of ${end - start} bytes came`);
  }
}

/** A body that breaks off is the transport's failure, whatever error its stream has; one of the file must not look like it. */
async function* ownErrors(
  chunks: AsyncGenerator<Uint8Array, void, void>,
  transfer: Transfer,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, void> {
  try {
    yield* chunks;
  } catch (error) {
    signal.throwIfAborted();
    if (CacheStoreError.isInstance(error)) throw error;
    throw failure(transfer, "unavailable", "the body broke off", error);
  }
}

async function writeAll(file: FileHandle, chunk: Uint8Array, position: number): Promise<void> {
  for (let written = 0; written < chunk.byteLength;) {
    const { bytesWritten } = await file.write(chunk, written, chunk.byteLength - written, position + written);
    written += bytesWritten;
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
