import type { S3Client } from "@aws-sdk/client-s3";
import type { StoreCall } from "@fleetfoot/cache-backend";
import type { S3StoreOptions } from "./options.ts";

/** A bucket, and the clients to reach it with. */
export interface S3Bucket {
  /** For what is to be done, and perhaps for nothing else. */
  readonly client: S3Client;
  readonly bucket: string;
  readonly options: S3StoreOptions;
  /** Gives a client that may look at the object of a call: credentials of a role for an upload may not. */
  clientToLook(call: StoreCall): Promise<S3Client>;
}
