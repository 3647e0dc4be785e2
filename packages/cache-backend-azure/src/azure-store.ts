import type { Readable } from "node:stream";
import type { BlobDownloadResponseParsed, BlobRequestConditions } from "@azure/storage-blob";
import {
  CacheStoreError,
  bodyFromAnswer,
  checkListPrefix,
  checkMetadata,
  createPutMark,
  operationsOf,
  partBehindEnd,
  partOfAnswer,
  retryTransfer,
  seeEmpty,
  uploadParts,
  withoutPutMark,
} from "@fleetfoot/cache-backend";
import type {
  CacheStore,
  DeletesObjects,
  ListedObject,
  ListsObjects,
  ObjectFacts,
  PresignsObjects,
  PresignsParts,
  PutBody,
  PutCondition,
  PutMark,
  PutOptions,
  PutsConditionally,
  PutsInParts,
  ReadsRanges,
  StoreCall,
  StoredObject,
} from "@fleetfoot/cache-backend";
import { openAccount } from "./account.ts";
import { blockLength, putInBlocks } from "./blocks.ts";
import { asStoreError, kind, serviceCodeOf, statusOf, withStoreErrors } from "./failures.ts";
import { fromAzureMetadata, toAzureMetadata } from "./metadata.ts";
import type { AzureStoreOptions } from "./options.ts";
import { contentToSend } from "./undici-client.ts";
import { presignBlob, presignBlocks } from "./presign.ts";

/** What a store in Azure can do. */
export type AzureStore = CacheStore &
  DeletesObjects &
  ListsObjects &
  ReadsRanges &
  PutsConditionally &
  PutsInParts &
  PresignsObjects &
  PresignsParts;

/**
 * Creates a store whose objects are block blobs of one container. Nothing is asked of the service before the first operation.
 *
 * @throws {TypeError} the options name no account or no container
 */
export function createAzureStore(options: AzureStoreOptions): AzureStore {
  const account = openAccount(options);
  const { container, containerOnce } = account;

  const onObject = operationsOf(kind, asStoreError);

  async function factsOf(call: StoreCall): Promise<ObjectFacts | undefined> {
    try {
      return toFacts(await container.getBlobClient(call.object).getProperties(withSignal(call)));
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw error;
    }
  }

  async function opened(
    call: StoreCall,
    range: { readonly start: number; readonly end?: number; readonly version?: string | undefined },
  ): Promise<{ readonly answer: BlobDownloadResponseParsed; readonly object: StoredObject } | undefined> {
    const { start, end, version } = range;
    const conditions = version === undefined ? {} : { ifMatch: version };
    try {
      const count = end === undefined ? undefined : end - start;
      // Going on in a further request is the caller's business, who knows how often.
      const wanted = { ...withSignal(call), conditions, maxRetryRequests: 0 };
      const answer = await container.getBlobClient(call.object).download(start, count, wanted);
      const stream = answer.readableStreamBody as Readable;
      const body = bodyFromAnswer(stream, answer.contentLength ?? 0, call, call.signal);
      return { answer, object: { facts: toFacts(answer), body } };
    } catch (error) {
      if (isAbsent(error) || statusOf(error) === 412) return undefined;
      throw error;
    }
  }

  async function putWhen(
    call: StoreCall,
    body: PutBody,
    condition: PutCondition | undefined,
    putOptions: PutOptions,
  ): Promise<ObjectFacts | undefined> {
    const { metadata = {}, onProgress, attemptTimeoutMs, partBytes = options.partBytes } = putOptions;
    checkMetadata(metadata, call.object, call);
    const conditions = condition === undefined ? {} : toConditions(condition);
    const mark = condition === undefined ? undefined : createPutMark();
    try {
      if (body.bytes > blockLength({ partBytes }, body.bytes)) {
        return await putInBlocks(account, call, body, { conditions, mark }, putOptions, options);
      }
      const { maxAttempts, retryDelayMs, sleep } = options;
      const [facts] = await uploadParts(
        body,
        call,
        (part, signal) =>
          withStoreErrors({ ...call, signal }, async () => {
            const isEmpty = part.bytes === 0;
            if (isEmpty) await seeEmpty(part.chunks(signal));
            mark?.requesting();
            const { etag: version = "", lastModified } = await containerOnce
              .getBlockBlobClient(call.object)
              .upload(isEmpty ? "" : () => contentToSend(part.chunks(signal)), part.bytes, {
                abortSignal: signal,
                conditions,
                metadata: toAzureMetadata({ ...metadata, ...mark?.metadata }),
                blobHTTPHeaders: { blobContentType: "application/octet-stream" },
              });
            const modifiedAtMs = lastModified?.getTime() ?? 0;
            return { bytes: body.bytes, modifiedAtMs, version, metadata: { ...metadata } };
          }),
        {
          partBytes: Math.max(1, body.bytes),
          attemptTimeoutMs,
          maxAttempts,
          retryDelayMs,
          sleep,
          signal: call.signal,
          onProgress,
        },
      );
      return facts;
    } catch (error) {
      if (mark === undefined || !isUnmet(error)) throw error;
      return mark.mayBeStored() ? await findOwn(call, mark) : undefined;
    }
  }

  /** Finds the blob that an earlier request of this put has stored; `undefined` when it is somebody else's, or who may write it may not look. */
  async function findOwn(call: StoreCall, mark: PutMark): Promise<ObjectFacts | undefined> {
    const { maxAttempts, retryDelayMs, sleep } = options;
    const look = async (abortSignal: AbortSignal): Promise<ObjectFacts | undefined> => {
      try {
        const found = await container.getBlobClient(call.object).getProperties({ abortSignal });
        return mark.isOn(fromAzureMetadata(found.metadata)) ? toFacts(found) : undefined;
      } catch (error) {
        if (isAbsent(error) || statusOf(error) === 403) return undefined;
        throw error;
      }
    };
    return retryTransfer(call, (signal) => withStoreErrors({ ...call, signal }, () => look(signal)), {
      maxAttempts,
      retryDelayMs,
      sleep,
      signal: call.signal,
    });
  }

  return {
    kind,
    putsInParts: true,
    head(name, operation = {}) {
      return onObject("head", name, operation, factsOf);
    },
    get(name, operation = {}) {
      return onObject("get", name, operation, async (call) => (await opened(call, { start: 0 }))?.object);
    },
    getRange(name, range, operation = {}) {
      return onObject("getRange", name, operation, async (call) => {
        try {
          const found = await opened(call, range);
          return found && (await partOfAnswer(call, range, found.answer.contentRange, found.object));
        } catch (error) {
          if (statusOf(error) !== 416) throw error;
          return partBehindEnd(range, await factsOf(call));
        }
      });
    },
    put(name, body, putOptions = {}) {
      return onObject("put", name, putOptions, async (call) => {
        const facts = await putWhen(call, body, undefined, putOptions);
        if (facts === undefined) throw new Error("unreachable: an unconditional put was refused");
        return facts;
      });
    },
    putIf(name, body, condition, putOptions = {}) {
      return onObject("putIf", name, putOptions, (call) => putWhen(call, body, condition, putOptions));
    },
    delete(name, operation = {}) {
      return onObject("delete", name, operation, async (call) => {
        const { ifVersion } = operation;
        const conditions = ifVersion === undefined ? {} : { ifMatch: ifVersion };
        try {
          const { succeeded } = await container.getBlobClient(name).deleteIfExists({ ...withSignal(call), conditions });
          return succeeded;
        } catch (error) {
          if (ifVersion !== undefined && statusOf(error) === 412) return false;
          throw error;
        }
      });
    },
    async *list(prefix, { signal } = {}): AsyncGenerator<ListedObject, void, void> {
      const call = { store: kind, operation: "list", object: prefix, signal };
      checkListPrefix(prefix, call);
      const blobs = container.listBlobsFlat({ prefix, ...withSignal(call) });
      while (true) {
        const next = await withStoreErrors(call, () => blobs.next());
        if (next.done === true) return;
        const { name, properties } = next.value;
        yield { name, bytes: properties.contentLength ?? 0, modifiedAtMs: properties.lastModified.getTime() };
      }
    },
    presign(request, operation = {}) {
      return onObject("presign", request.name, operation, (call) => presignBlob(account, call, request, options));
    },
    presignParts(request, operation = {}) {
      return onObject("presignParts", request.name, operation, (call) =>
        presignBlocks(account, call, request, options),
      );
    },
  };
}

function toConditions(condition: PutCondition): BlobRequestConditions {
  return "absent" in condition ? { ifNoneMatch: "*" } : { ifMatch: condition.version };
}

/** A container that is absent is no blob that is. */
function isAbsent(error: unknown): boolean {
  return statusOf(error) === 404 && serviceCodeOf(error) !== "ContainerNotFound";
}

/** Nothing there to be replaced is as good a reason as something else there. */
function isUnmet(error: unknown): boolean {
  if (!CacheStoreError.isInstance(error)) return false;
  const { status, serviceCode } = error;
  return status === 412 || (status === 409 && serviceCode === "BlobAlreadyExists") || serviceCode === "BlobNotFound";
}

function toFacts(answer: {
  readonly contentLength?: number;
  readonly lastModified?: Date;
  readonly etag?: string;
  readonly metadata?: Readonly<Record<string, string>>;
}): ObjectFacts {
  const { contentLength: bytes = 0, lastModified, etag: version = "", metadata } = answer;
  return {
    bytes,
    modifiedAtMs: lastModified?.getTime() ?? 0,
    version,
    metadata: withoutPutMark(fromAzureMetadata(metadata)),
  };
}

function withSignal({ signal }: StoreCall): { abortSignal?: AbortSignal } {
  return signal === undefined ? {} : { abortSignal: signal };
}
