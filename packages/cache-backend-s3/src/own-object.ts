import { HeadObjectCommand } from "@aws-sdk/client-s3";
import type { ObjectFacts, PutMark, StoreCall } from "@fleetfoot/cache-backend";
import { metadataOf, toFacts } from "./facts.ts";
import type { ObjectOutput } from "./facts.ts";
import type { S3Bucket } from "./parts.ts";

/** Finds the object that an earlier request of this put has stored; `undefined` when it is somebody else's, or who may write it may not look. */
export async function findOwn(
  target: Pick<S3Bucket, "client" | "bucket">,
  call: StoreCall,
  mark: PutMark | undefined,
): Promise<ObjectFacts | undefined> {
  const found = await lookAt(target, call);
  return found !== undefined && mark?.isOn(metadataOf(found)) === true ? toFacts(call, found) : undefined;
}

/** What the service says of an object, if it does. */
export async function lookAt(
  { client, bucket }: Pick<S3Bucket, "client" | "bucket">,
  { object, signal }: StoreCall,
): Promise<ObjectOutput | undefined> {
  const head = new HeadObjectCommand({ Bucket: bucket, Key: object });
  return client.send(head, signal === undefined ? {} : { abortSignal: signal }).catch(() => undefined);
}
