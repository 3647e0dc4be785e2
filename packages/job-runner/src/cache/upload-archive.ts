import { createHash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";

import {
  CONTENT_DIGEST,
  bodyOfFile,
  canPutConditionally,
  canPutInParts,
  retryTransfer,
} from "@fleetfoot/cache-backend";
import type { ObjectFacts, TransferProgress } from "@fleetfoot/cache-backend";

import { openPlainFile } from "../plain-files.ts";
import type { RemoteLocation } from "./location.ts";
import type { CacheMetadata } from "./metadata.ts";
import { rememberStored } from "./stored-archive.ts";
import { partSettings, trySettings } from "./transfer-settings.ts";
import type { CacheStageOptions, RemoteCache } from "./types.ts";

/**
 * Uploads an archive. What is sent is one file from start to end, even when another job replaces it meanwhile.
 *
 * @returns false when it may only be the first of its name, and another one came before it, which a store that cannot put on a condition does
 *   not notice
 * @throws {CacheStoreError} when no try succeeds
 */
export async function uploadArchive(
  options: CacheStageOptions,
  { store }: RemoteCache,
  { objectName: object }: RemoteLocation,
  archive: ArchiveToUpload,
): Promise<boolean> {
  const { concurrency, chunkBytes: partBytes } = partSettings(options);
  const tries = trySettings(options);
  const file = await openPlainFile(archive.path);
  if (file === undefined) throw new Error(`${archive.path} is no file any more`);
  try {
    const { size, mtimeMs } = await file.stat();
    const onProgress = (progress: TransferProgress): void =>
      options.onTransfer?.({ ...progress, direction: "upload", key: archive.key });
    const body = bodyOfFile(file, size);
    const metadata = { ...archive.metadata, [CONTENT_DIGEST]: await digestOf(file, size, options.signal) };
    const put = async (signal: AbortSignal): Promise<ObjectFacts | undefined> => {
      const { attemptTimeoutMs, timeLimitMs } = tries;
      const putOptions = { metadata, signal, onProgress, attemptTimeoutMs, timeLimitMs, concurrency, partBytes };
      if (!archive.onlyIfAbsent || !canPutConditionally(store)) return store.put(object, body, putOptions);
      return store.putIf(object, body, { absent: true }, putOptions);
    };
    const what = { store: store.kind, operation: "put", object };
    // The limit is that of one part: all of them together may take as long as they need.
    const facts = canPutInParts(store) ? await put(options.signal) : await retryTransfer(what, put, tries);
    if (facts === undefined) return false;
    await rememberStored(archive.path, { size, mtimeMs }, { objectName: object, version: facts.version });
    return true;
  } finally {
    await file.close();
  }
}

interface ArchiveToUpload {
  readonly key: string;
  readonly path: string;
  readonly metadata: CacheMetadata;
  /** Whether it must not replace another one. */
  readonly onlyIfAbsent: boolean;
}

const digestChunkBytes = 1024 * 1024;

/** Read before the upload, since what is stored with an object is sent ahead of it. */
async function digestOf(file: FileHandle, bytes: number, signal: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  const chunk = Buffer.allocUnsafe(digestChunkBytes);
  for (let position = 0; position < bytes;) {
    signal.throwIfAborted();
    const { bytesRead } = await file.read(chunk, 0, chunk.byteLength, position);
    if (bytesRead === 0) break;
    hash.update(chunk.subarray(0, bytesRead));
    position += bytesRead;
  }
  return hash.digest("hex");
}
