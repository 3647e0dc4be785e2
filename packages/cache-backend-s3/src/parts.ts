import { createHash } from "node:crypto";
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  NoSuchUpload,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import type { CompletedPart } from "@aws-sdk/client-s3";
import { retryTransfer, uploadParts } from "@fleetfoot/cache-backend";
import type { ObjectFacts, PutBody, PutMark, PutOptions, StoreCall } from "@fleetfoot/cache-backend";
import { dateOf } from "./date-of.ts";
import { metadataOf, versionOf } from "./facts.ts";
import type { ObjectOutput } from "./facts.ts";
import { statusOf, triesOf, withStoreErrors } from "./failures.ts";
import { objectParameters } from "./object-parameters.ts";
import type { S3StoreOptions } from "./options.ts";
import { lookAt } from "./own-object.ts";
import type { S3Bucket } from "./s3-bucket.ts";
import { streamToSend } from "./undici-handler.ts";

/** Length of the parts of an object. @see https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html */
export function partLength({ partBytes = 16 * mebibyte }: Pick<S3StoreOptions, "partBytes">, bytes: number): number {
  const least = Math.ceil(bytes / mostParts / mebibyte) * mebibyte;
  return Math.min(longestPartBytes, Math.max(5 * mebibyte, partBytes, least));
}

/**
 * Stores a body as one object that is uploaded in parts; it is visible when all of them are there, or never.
 *
 * @see https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html
 */
export async function putInParts(
  target: S3Bucket,
  call: StoreCall,
  body: PutBody,
  { conditions, mark }: Pick<Completion, "conditions" | "mark">,
  putOptions: PutOptions,
): Promise<ObjectFacts> {
  const { client, bucket, options } = target;
  const { maxAttempts, retryDelayMs, sleep } = options;
  const { metadata = {}, onProgress, attemptTimeoutMs } = putOptions;
  const { partBytes = options.partBytes, concurrency = options.uploadConcurrency } = putOptions;
  const tries = { maxAttempts, retryDelayMs, attemptTimeoutMs, sleep, signal: call.signal };
  const marked = { ...metadata, ...mark?.metadata };
  const upload = await retryTransfer(
    call,
    (signal) => withStoreErrors({ ...call, signal }, () => beginUpload(target, { ...call, signal }, marked)),
    tries,
  );
  const place = { Bucket: bucket, Key: call.object, UploadId: upload };
  try {
    const parts = await uploadParts<CompletedPart>(
      body,
      call,
      (part, signal) =>
        withStoreErrors({ ...call, signal }, async () => {
          const command = new UploadPartCommand({
            ...place,
            PartNumber: part.index + 1,
            Body: streamToSend(part.chunks(signal)),
            ContentLength: part.bytes,
          });
          const output = await client.send(command, { abortSignal: signal });
          const { ChecksumCRC32 } = output;
          return {
            PartNumber: part.index + 1,
            ETag: versionOf(call, output),
            ...(ChecksumCRC32 === undefined ? {} : { ChecksumCRC32 }),
          };
        }),
      {
        partBytes: partLength({ partBytes }, body.bytes),
        concurrency,
        onProgress,
        ...tries,
      },
    );
    let isRepeated = false;
    return await retryTransfer(
      call,
      (signal) => {
        const completion = { parts, bytes: body.bytes, metadata, conditions, mark, isRepeated };
        isRepeated = true;
        return completeUpload(target, { ...call, signal }, upload, completion);
      },
      tries,
    );
  } catch (error) {
    await abortUpload(target, call, upload);
    throw error;
  }
}

/** @returns the id of the upload */
export async function beginUpload(
  { client, options }: S3Bucket,
  call: StoreCall,
  metadata: Readonly<Record<string, string>>,
): Promise<string> {
  const command = new CreateMultipartUploadCommand(objectParameters(options, call.object, metadata));
  const { UploadId = "" } = await client.send(command, call.signal === undefined ? {} : { abortSignal: call.signal });
  return UploadId;
}

export interface Completion extends Pick<ObjectFacts, "bytes" | "metadata"> {
  readonly parts: readonly CompletedPart[];
  readonly conditions?: { readonly IfNoneMatch?: string; readonly IfMatch?: string } | undefined;
  /** What the upload was begun with. @default none: the object is known by the tags of its parts */
  readonly mark?: PutMark | undefined;
  /** Whether an earlier try has asked for the same, and may have got it. @default false */
  readonly isRepeated?: boolean;
}

/** Puts the parts of an upload together and makes the object visible. */
export async function completeUpload(
  target: S3Bucket,
  call: StoreCall,
  upload: string,
  { parts, bytes, metadata, conditions, mark, isRepeated = false }: Completion,
): Promise<ObjectFacts> {
  const { client, bucket } = target;
  const command = new CompleteMultipartUploadCommand({
    Bucket: bucket,
    Key: call.object,
    UploadId: upload,
    MultipartUpload: { Parts: [...parts] },
    ...conditions,
  });
  const date = dateOf(command);
  // The service answers at once and fails in the body of its answer, so the SDK's own tries are worth having here.
  const options = call.signal === undefined ? {} : { abortSignal: call.signal };
  return withStoreErrors(call, async () => {
    try {
      const version = versionOf(call, await client.send(command, options));
      return { bytes, modifiedAtMs: date(), version, metadata: { ...metadata } };
    } catch (error) {
      // The answer to an earlier try may be what was lost: some services have forgotten the upload then, others say that there is an object already.
      const mayBeOwn = error instanceof NoSuchUpload || (statusOf(error) === 412 && (isRepeated || triesOf(error) > 1));
      if (!mayBeOwn) throw error;
      const found = (await lookAt(target, call)) ?? {};
      if (!isOwn(found, parts, mark)) throw error;
      const { ETag: version = "", LastModified } = found;
      return { bytes, modifiedAtMs: LastModified?.getTime() ?? 0, version, metadata: { ...metadata } };
    }
  });
}

function isOwn(found: ObjectOutput, parts: readonly CompletedPart[], mark: PutMark | undefined): boolean {
  return mark === undefined ? found.ETag === tagOfParts(parts) : mark.isOn(metadataOf(found));
}

/** Of an object that was put together of parts. @see https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html */
function tagOfParts(parts: readonly CompletedPart[]): string {
  const tags = parts.map(({ ETag = "" }) => Buffer.from(ETag.replaceAll('"', ""), "hex"));
  return `"${createHash("md5").update(Buffer.concat(tags)).digest("hex")}-${parts.length}"`;
}

/** Forgets an upload; a failure is not worth telling, since a lifecycle rule of the bucket forgets it, too. */
export async function abortUpload({ client, bucket }: S3Bucket, call: StoreCall, upload: string): Promise<void> {
  const command = new AbortMultipartUploadCommand({ Bucket: bucket, Key: call.object, UploadId: upload });
  // Not under the caller's signal: it may be the reason why the upload is given up.
  const isWanted = call.signal?.aborted === true;
  const limitMs = isWanted ? abortTimeoutMs.whenAborted : abortTimeoutMs.otherwise;
  await client.send(command, { abortSignal: AbortSignal.timeout(limitMs) }).catch(() => {});
}

const mebibyte = 1024 * 1024;
const mostParts = 10_000;
const longestPartBytes = 5 * 1024 * mebibyte;
/** Who aborts an upload waits for the end of this. */
const abortTimeoutMs = { whenAborted: 3000, otherwise: 30_000 };
