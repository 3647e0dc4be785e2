import { HeadObjectCommand } from "@aws-sdk/client-s3";
import type { ObjectFacts, PutMark, StoreCall } from "@fleetfoot/cache-backend";
import { metadataOf, toFacts, versionOf } from "./facts.ts";
import type { ObjectOutput } from "./facts.ts";
import { statusOf } from "./failures.ts";
import type { S3Bucket } from "./s3-bucket.ts";

/**
 * Finds the object that an earlier request of this put has stored; `undefined` when it is somebody else's, or nobody may look.
 *
 * @throws what keeps it from looking
 */
export async function findOwn(
  target: S3Bucket,
  call: StoreCall,
  mark: PutMark | undefined,
): Promise<ObjectFacts | undefined> {
  const found = await lookAt(target, call);
  return found !== undefined && mark?.isOn(metadataOf(found)) === true ? toFacts(call, found) : undefined;
}

/** What the service says of an object; `undefined` when there is none, or nobody may look. @throws what keeps it from looking, or what else has answered */
export async function lookAt(target: S3Bucket, call: StoreCall): Promise<ObjectOutput | undefined> {
  const { object, signal } = call;
  const head = new HeadObjectCommand({ Bucket: target.bucket, Key: object });
  const client = await target.clientToLook(call);
  try {
    const found = await client.send(head, signal === undefined ? {} : { abortSignal: signal });
    versionOf(call, found);
    return found;
  } catch (error) {
    const status = statusOf(error);
    if (status === 403 || status === 404) return undefined;
    throw error;
  }
}
