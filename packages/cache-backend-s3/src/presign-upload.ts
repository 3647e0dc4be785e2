import { UploadPartCommand } from "@aws-sdk/client-s3";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";
import { checkMetadata } from "@fleetfoot/cache-backend";
import type { PresignedPart, PresignedUpload, PresignPartsRequest, StoreCall } from "@fleetfoot/cache-backend";
import { withStoreErrors } from "./failures.ts";
import { abortUpload, beginUpload, completeUpload, partLength } from "./parts.ts";
import { lifetimeSeconds } from "./presign.ts";
import type { S3Bucket } from "./s3-bucket.ts";

/** Begins an upload whose parts somebody without credentials will send, each to a URL of its own. */
export async function presignUpload(
  target: S3Bucket,
  call: StoreCall,
  { name, bytes, lifetimeMs, metadata = {} }: PresignPartsRequest,
): Promise<PresignedUpload> {
  checkMetadata(metadata, name, call);
  const { client, bucket, options } = target;
  const upload = await beginUpload(target, call, metadata);
  const partBytes = partLength(options, bytes);
  const expiresIn = lifetimeSeconds(lifetimeMs);
  try {
    const parts: PresignedPart[] = [];
    for (let start = 0; start < bytes; start += partBytes) {
      const end = Math.min(start + partBytes, bytes);
      const place = { Bucket: bucket, Key: name, UploadId: upload, PartNumber: parts.length + 1 };
      const command = new UploadPartCommand({ ...place, ContentLength: end - start });
      // The length is signed, so that a part cannot be longer than what it was handed out for.
      const url = await getSignedUrl(client, command, { expiresIn, unhoistableHeaders: new Set(["content-length"]) });
      parts.push({ start, end, url, headers: {} });
    }
    return {
      parts,
      complete: (receipts, { signal } = {}) => {
        const completing = { ...call, operation: "completeParts", signal };
        const done = receipts.map((ETag, index) => ({ ETag, PartNumber: index + 1 }));
        return withStoreErrors(completing, () =>
          completeUpload(target, completing, upload, { parts: done, bytes, metadata }),
        );
      },
      abort: () => abortUpload(target, call, upload),
    };
  } catch (error) {
    await abortUpload(target, call, upload);
    throw error;
  }
}
