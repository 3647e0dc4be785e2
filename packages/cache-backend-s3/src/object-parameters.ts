import { encodeHeaderText } from "@fleetfoot/cache-backend";
import { encryptionParameters } from "./encryption.ts";
import type { ServerSideEncryption } from "./encryption.ts";
import type { S3StoreOptions } from "./options.ts";

/** What every request that creates an object says of it. */
export function objectParameters(
  options: S3StoreOptions,
  name: string,
  metadata: Readonly<Record<string, string>>,
): {
  Bucket: string;
  Key: string;
  ContentType: string;
  Metadata: Record<string, string>;
  ServerSideEncryption?: ServerSideEncryption;
  SSEKMSKeyId?: string;
} {
  const { bucket, serverSideEncryption, serverSideEncryptionKeyId } = options;
  return {
    Bucket: bucket,
    Key: name,
    ContentType: "application/octet-stream",
    Metadata: Object.fromEntries(Object.entries(metadata).map(([key, value]) => [key, encodeHeaderText(value)])),
    ...encryptionParameters({ serverSideEncryption, serverSideEncryptionKeyId }),
  };
}
