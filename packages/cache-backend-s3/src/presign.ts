import { GetObjectCommand, HeadObjectCommand, PutObjectCommand } from "@aws-sdk/client-s3";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";
import { checkMetadata } from "@fleetfoot/cache-backend";
import type { PresignedRequest, PresignRequest, StoreCall } from "@fleetfoot/cache-backend";
import { objectParameters } from "./object-parameters.ts";
import type { S3Bucket } from "./s3-bucket.ts";

/**
 * Signs a request that somebody else will send.
 *
 * @see https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
 */
export async function presignObject(
  { client, bucket, options }: Pick<S3Bucket, "bucket" | "client" | "options">,
  call: StoreCall,
  { method, name, lifetimeMs, metadata = {} }: PresignRequest,
): Promise<PresignedRequest> {
  const expiresIn = lifetimeSeconds(lifetimeMs);
  if (method !== "PUT") {
    const place = { Bucket: bucket, Key: name };
    // The two differ in the method, which is part of what is signed.
    const url =
      method === "GET"
        ? await getSignedUrl(client, new GetObjectCommand(place), { expiresIn })
        : await getSignedUrl(client, new HeadObjectCommand(place), { expiresIn });
    return { url, headers: {} };
  }
  checkMetadata(metadata, name, call);
  const parameters = objectParameters(options, name, metadata);
  const { ContentType: _, ...signed } = parameters;
  const headers = {
    ...Object.fromEntries(Object.entries(parameters.Metadata).map(([key, value]) => [`x-amz-meta-${key}`, value])),
    ...(parameters.ServerSideEncryption === undefined
      ? {}
      : { "x-amz-server-side-encryption": parameters.ServerSideEncryption }),
    ...(parameters.SSEKMSKeyId === undefined
      ? {}
      : { "x-amz-server-side-encryption-aws-kms-key-id": parameters.SSEKMSKeyId }),
  };
  // In the query they would be anybody's to leave out.
  const unhoistableHeaders = new Set(Object.keys(headers));
  const url = await getSignedUrl(client, new PutObjectCommand(signed), { expiresIn, unhoistableHeaders });
  return { url, headers: { ...headers, "content-type": parameters.ContentType } };
}

/** Whole seconds, at most the week that the service allows. */
export function lifetimeSeconds(lifetimeMs: number): number {
  return Math.min(7 * 24 * 3600, Math.max(1, Math.ceil(lifetimeMs / 1000)));
}
