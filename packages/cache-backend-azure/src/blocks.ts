import { randomUUID } from "node:crypto";
import type { BlobRequestConditions } from "@azure/storage-blob";
import { CacheStoreError, retryTransfer, uploadParts } from "@fleetfoot/cache-backend";
import type { ObjectFacts, PutBody, PutMark, PutOptions, StoreCall } from "@fleetfoot/cache-backend";
import type { AzureAccount } from "./account.ts";
import { withStoreErrors } from "./failures.ts";
import { toAzureMetadata } from "./metadata.ts";
import type { AzureStoreOptions } from "./options.ts";
import { contentToSend } from "./undici-client.ts";

/** Length of the blocks of a blob. @see https://learn.microsoft.com/azure/storage/blobs/scalability-targets */
export function blockLength(
  { partBytes = 16 * mebibyte }: Pick<AzureStoreOptions, "partBytes">,
  bytes: number,
): number {
  return Math.min(longestBlockBytes, Math.max(partBytes, Math.ceil(bytes / mostBlocks / mebibyte) * mebibyte));
}

/** Names for the blocks of one upload, all of one length as the service wants it, and unlike those of another upload. */
export function blockNames(): (index: number) => string {
  const upload = randomUUID();
  return (index) => Buffer.from(`${upload}-${String(index).padStart(6, "0")}`).toString("base64");
}

/** When a blob may be made, and how it is known again then. */
export interface Requirement {
  readonly conditions: BlobRequestConditions;
  /** There when there are conditions. */
  readonly mark: PutMark | undefined;
}

/**
 * Stores a body as blocks and then says which blocks are the blob; before that nothing is visible.
 *
 * @see https://learn.microsoft.com/rest/api/storageservices/put-block-list
 */
export async function putInBlocks(
  account: AzureAccount,
  call: StoreCall,
  body: PutBody,
  requirement: Requirement,
  putOptions: PutOptions,
  options: AzureStoreOptions,
): Promise<ObjectFacts> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await putBlocksOnce(account, call, body, requirement, putOptions, options);
    } catch (error) {
      // Who puts the same name together first makes the service forget the blocks of all others: they send them again.
      const lost = CacheStoreError.isInstance(error) && error.serviceCode === "InvalidBlockList";
      if (!lost || tries >= mostTries) throw error;
    }
  }
}

async function putBlocksOnce(
  { containerOnce }: AzureAccount,
  call: StoreCall,
  body: PutBody,
  requirement: Requirement,
  putOptions: PutOptions,
  options: AzureStoreOptions,
): Promise<ObjectFacts> {
  const { maxAttempts, retryDelayMs, sleep } = options;
  const { metadata = {}, onProgress, attemptTimeoutMs } = putOptions;
  const { partBytes = options.partBytes, concurrency = options.uploadConcurrency } = putOptions;
  const tries = { maxAttempts, retryDelayMs, attemptTimeoutMs, sleep, signal: call.signal };
  const once = containerOnce.getBlockBlobClient(call.object);
  const nameOf = blockNames();
  const names = await uploadParts(
    body,
    call,
    (part, signal) =>
      withStoreErrors({ ...call, signal }, async () => {
        const name = nameOf(part.index);
        await once.stageBlock(name, () => contentToSend(part.chunks(signal)), part.bytes, { abortSignal: signal });
        return name;
      }),
    {
      partBytes: blockLength({ partBytes }, body.bytes),
      concurrency,
      onProgress,
      ...tries,
    },
  );
  return retryTransfer(
    call,
    (signal) => commitBlocks(once, { ...call, signal }, names, { bytes: body.bytes, metadata }, requirement),
    tries,
  );
}

/** Makes a blob of blocks that were sent. */
export async function commitBlocks(
  blob: ReturnType<AzureAccount["container"]["getBlockBlobClient"]>,
  call: StoreCall,
  names: readonly string[],
  { bytes, metadata }: Pick<ObjectFacts, "bytes" | "metadata">,
  { conditions, mark }: Requirement = { conditions: {}, mark: undefined },
): Promise<ObjectFacts> {
  mark?.requesting();
  return withStoreErrors(call, async () => {
    const { etag: version = "", lastModified } = await blob.commitBlockList([...names], {
      ...(call.signal === undefined ? {} : { abortSignal: call.signal }),
      conditions,
      metadata: toAzureMetadata({ ...metadata, ...mark?.metadata }),
      blobHTTPHeaders: { blobContentType: "application/octet-stream" },
    });
    return { bytes, modifiedAtMs: lastModified?.getTime() ?? 0, version, metadata: { ...metadata } };
  });
}

const mebibyte = 1024 * 1024;
const mostBlocks = 50_000;
const longestBlockBytes = 4000 * mebibyte;
const mostTries = 5;
