import type { Readable } from "node:stream";
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  NoSuchBucket,
  PutObjectCommand,
  paginateListObjectsV2,
} from "@aws-sdk/client-s3";
import type { GetObjectCommandOutput, ListObjectsV2CommandOutput, S3Client } from "@aws-sdk/client-s3";
import {
  CacheStoreError,
  bodyFromAnswer,
  checkListPrefix,
  checkMetadata,
  createPutMark,
  operationsOf,
  partBehindEnd,
  partOfAnswer,
  seeEmpty,
  uploadParts,
} from "@fleetfoot/cache-backend";
import type {
  CacheStore,
  DeletesObjects,
  ListedObject,
  ListsObjects,
  ObjectFacts,
  OperationOptions,
  PresignsObjects,
  PresignsParts,
  PutBody,
  PutCondition,
  PutOptions,
  PutsConditionally,
  PutsInParts,
  ReadsRanges,
  StoreCall,
  StoredObject,
} from "@fleetfoot/cache-backend";
import { createClients } from "./clients.ts";
import { dateOf } from "./date-of.ts";
import { toFacts, versionOf } from "./facts.ts";
import { asStoreError, kind, statusOf, triesOf, withStoreErrors } from "./failures.ts";
import { objectParameters } from "./object-parameters.ts";
import type { S3StoreOptions } from "./options.ts";
import { findOwn } from "./own-object.ts";
import { partLength, putInParts } from "./parts.ts";
import { presignObject } from "./presign.ts";
import { presignUpload } from "./presign-upload.ts";
import type { ScopedCredentials } from "./role.ts";
import type { S3Bucket } from "./s3-bucket.ts";
import type { Direction } from "./scoped-policy.ts";
import { streamToSend } from "./undici-handler.ts";

/** What a store in S3 can do. */
export type S3Store = CacheStore &
  DeletesObjects &
  ListsObjects &
  ReadsRanges &
  PutsConditionally &
  PutsInParts &
  PresignsObjects &
  PresignsParts &
  IssuesCredentials;

/** The store can hand out credentials that are good for one object and one direction only. */
export interface IssuesCredentials {
  /**
   * Asks the token service for credentials that last at most an hour.
   *
   * @throws {CacheStoreError} code `rejected` when the store was given no role for this direction
   */
  issueCredentials(name: string, direction: Direction, options?: OperationOptions): Promise<ScopedCredentials>;
}

/**
 * Creates a store whose objects lie in a bucket of S3, or of a service that speaks it, such as MinIO. Nothing is asked of the
 * service before the first operation.
 *
 * @throws {TypeError} there is no bucket, `serverAddress` is a URL, or keys are wanted and not there
 */
export function createS3Store(options: S3StoreOptions): S3Store {
  const { bucket, roleArn, uploadRoleArn, transferTimeoutMs = 600_000 } = options;
  const clients = createClients(options);
  let own: S3Client | undefined;

  const onObject = operationsOf(kind, asStoreError);

  function roleFor(direction: Direction): string | undefined {
    const role = direction === "upload" ? roleArn || uploadRoleArn : roleArn;
    return role === "" ? undefined : role;
  }

  async function credentialsFor({ object, signal, timeLimitMs = transferTimeoutMs }: StoreCall, direction: Direction) {
    await clients.findRegion(signal);
    const role = roleFor(direction);
    return role === undefined ? undefined : clients.assumeRole(role, object, direction, { signal, timeLimitMs });
  }

  async function clientFor(call: StoreCall, direction: Direction): Promise<S3Client> {
    const credentials = await credentialsFor(call, direction);
    return credentials === undefined ? (own ??= clients.client()) : clients.client(credentials);
  }

  const clientToLook = (call: StoreCall): Promise<S3Client> => clientFor(call, "download");

  async function factsOf(call: StoreCall): Promise<ObjectFacts | undefined> {
    const client = await clientToLook(call);
    try {
      const command = new HeadObjectCommand({ Bucket: bucket, Key: call.object });
      return toFacts(call, await client.send(command, sendOptions(call)));
    } catch (error) {
      if (statusOf(error) === 404) return undefined;
      throw error;
    }
  }

  async function opened(
    call: StoreCall,
    conditions: { readonly Range?: string; readonly IfMatch?: string } = {},
  ): Promise<{ readonly output: GetObjectCommandOutput; readonly object: StoredObject } | undefined> {
    const client = await clientFor(call, "download");
    const command = new GetObjectCommand({ Bucket: bucket, Key: call.object, ...conditions });
    try {
      const output = await client.send(command, sendOptions(call));
      const stream = output.Body as Readable;
      const facts = releasing(stream, () => toFacts(call, output));
      return { output, object: { facts, body: bodyFromAnswer(stream, facts.bytes, call, call.signal) } };
    } catch (error) {
      const status = statusOf(error);
      if (status === 412 || (status === 404 && !(error instanceof NoSuchBucket))) return undefined;
      throw error;
    }
  }

  async function putWhen(
    call: StoreCall,
    body: PutBody,
    condition: PutCondition | undefined,
    putOptions: PutOptions,
  ): Promise<ObjectFacts | undefined> {
    const { metadata = {}, attemptTimeoutMs, partBytes = options.partBytes } = putOptions;
    checkMetadata(metadata, call.object, call);
    const target: S3Bucket = { client: await clientFor(call, "upload"), bucket, options, clientToLook };
    const conditions = condition === undefined ? {} : conditionParameters(condition);
    const mark = condition === undefined ? undefined : createPutMark();
    try {
      if (body.bytes > partLength({ partBytes }, body.bytes)) {
        return await putInParts(target, call, body, { conditions, mark }, putOptions);
      }
      const [facts] = await uploadParts(
        body,
        call,
        (part, signal) =>
          withStoreErrors({ ...call, signal }, async () => {
            const command = new PutObjectCommand({
              ...objectParameters(options, call.object, { ...metadata, ...mark?.metadata }),
              ...conditions,
              Body: part.bytes === 0 ? await noBytes(part.chunks(signal)) : streamToSend(part.chunks(signal)),
              ContentLength: part.bytes,
            });
            const date = dateOf(command);
            mark?.requesting();
            try {
              const version = versionOf(call, await target.client.send(command, { abortSignal: signal }));
              return { bytes: body.bytes, modifiedAtMs: date(), version, metadata: { ...metadata } };
            } catch (error) {
              const mayBeOwn = statusOf(error) === 412 && (mark?.mayBeStored() === true || triesOf(error) > 1);
              const own = mayBeOwn ? await findOwn(target, { ...call, signal }, mark) : undefined;
              if (own === undefined) throw error;
              return own;
            }
          }),
        {
          ...retryOptions(options),
          attemptTimeoutMs,
          partBytes: Math.max(1, body.bytes),
          signal: call.signal,
          onProgress: putOptions.onProgress,
        },
      );
      return facts;
    } catch (error) {
      if (condition !== undefined && isUnmet(error)) return undefined;
      throw error;
    }
  }

  /**
   * Some services do not know the condition, and pass over it or refuse it; the version that was found right before is all they can be held to.
   *
   * @see https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-deletes.html
   */
  async function remove(call: StoreCall, version: string | undefined): Promise<boolean> {
    own ??= clients.client();
    const object = { Bucket: bucket, Key: call.object };
    const condition = version === undefined ? {} : { IfMatch: version };
    try {
      await own.send(new DeleteObjectCommand({ ...object, ...condition }), sendOptions(call));
      return true;
    } catch (error) {
      const status = statusOf(error);
      if (version !== undefined && (status === 412 || status === 404)) return false;
      if (version === undefined || status !== 501) throw error;
    }
    await own.send(new DeleteObjectCommand(object), sendOptions(call));
    return true;
  }

  return {
    kind,
    putsInParts: true,
    head(name, operation = {}) {
      return onObject("head", name, operation, factsOf);
    },
    get(name, operation = {}) {
      return onObject("get", name, operation, async (call) => (await opened(call))?.object);
    },
    getRange(name, range, operation = {}) {
      const { start, end, version } = range;
      return onObject("getRange", name, operation, async (call) => {
        const conditions = {
          Range: `bytes=${start}-${end - 1}`,
          ...(version === undefined ? {} : { IfMatch: version }),
        };
        try {
          const found = await opened(call, conditions);
          return found && (await partOfAnswer(call, range, found.output.ContentRange, found.object));
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
        const found = await factsOf(call);
        const { ifVersion = found?.version } = operation;
        if (found === undefined || found.version !== ifVersion) return false;
        return await remove(call, operation.ifVersion);
      });
    },
    async *list(prefix, { signal } = {}): AsyncGenerator<ListedObject, void, void> {
      const call = { store: kind, operation: "list", object: prefix, signal };
      checkListPrefix(prefix, call);
      own ??= clients.client();
      const pages = paginateListObjectsV2({ client: own }, { Bucket: bucket, Prefix: prefix }, sendOptions(call));
      while (true) {
        const page = await withStoreErrors(call, () => pages.next());
        if (page.done === true) return;
        checkPage(call, page.value);
        for (const { Key: name = "", Size: bytes = 0, LastModified } of page.value.Contents ?? []) {
          signal?.throwIfAborted();
          // Some services list the time with more digits than they have for it elsewhere.
          const modifiedAtMs = Math.floor((LastModified?.getTime() ?? 0) / 1000) * 1000;
          yield { name, bytes, modifiedAtMs };
        }
      }
    },
    presign(request, operation = {}) {
      return onObject("presign", request.name, operation, async (call) => {
        const direction = request.method === "PUT" ? "upload" : "download";
        const client = clients.signingClient(await credentialsFor(call, direction));
        return presignObject({ client, bucket, options }, call, request);
      });
    },
    presignParts(request, operation = {}) {
      return onObject("presignParts", request.name, operation, async (call) => {
        const client = clients.signingClient(await credentialsFor(call, "upload"));
        return presignUpload({ client, bucket, options, clientToLook }, call, request);
      });
    },
    issueCredentials(name, direction, operation = {}) {
      return onObject("issueCredentials", name, operation, async (call) => {
        const credentials = await credentialsFor(call, direction);
        if (credentials !== undefined) return credentials;
        throw new CacheStoreError({ code: "rejected", ...call, reason: `there is no role for ${direction}s` });
      });
    },
  };
}

/** An answer without anything that a page has is some other text, which the SDK takes for an empty page. */
function checkPage(call: StoreCall, { Contents, Name, KeyCount, IsTruncated }: ListObjectsV2CommandOutput): void {
  const { store, operation, object } = call;
  if ((Contents ?? Name ?? KeyCount ?? IsTruncated) !== undefined) return;
  const reason = "the answer is no list of objects, so it is not from the service";
  throw new CacheStoreError({ code: "unavailable", store, operation, object, reason });
}

/** Gives the connection back when what comes over it is not wanted. */
function releasing<Result>(stream: Readable, judge: () => Result): Result {
  try {
    return judge();
  } catch (error) {
    stream.destroy();
    throw error;
  }
}

function conditionParameters(condition: PutCondition): { IfNoneMatch?: string; IfMatch?: string } {
  return "absent" in condition ? { IfNoneMatch: "*" } : { IfMatch: condition.version };
}

/** Nothing there to be replaced is as good a reason as something else there. */
function isUnmet(error: unknown): boolean {
  if (!CacheStoreError.isInstance(error)) return false;
  return error.status === 412 || (error.status === 404 && error.serviceCode === "NoSuchKey");
}

function sendOptions({ signal }: StoreCall): { abortSignal?: AbortSignal } {
  return signal === undefined ? {} : { abortSignal: signal };
}

function retryOptions({ maxAttempts, retryDelayMs, sleep }: S3StoreOptions) {
  return { maxAttempts, retryDelayMs, sleep };
}

async function noBytes(chunks: AsyncGenerator<Uint8Array, void, void>): Promise<Uint8Array> {
  await seeEmpty(chunks);
  return new Uint8Array();
}
