import { decodeHeaderText, versionInAnswer, withoutPutMark } from "@fleetfoot/cache-backend";
import type { ObjectFacts, StoreCall } from "@fleetfoot/cache-backend";

/** What the service says of an object, whichever request it answers. */
export interface ObjectOutput {
  readonly ContentLength?: number | undefined;
  readonly LastModified?: Date | undefined;
  readonly ETag?: string | undefined;
  readonly Metadata?: Readonly<Record<string, string>> | undefined;
}

/** The facts of an object as its reader gets them. @throws {CacheStoreError} the answer is not from the service */
export function toFacts(call: StoreCall, output: ObjectOutput): ObjectFacts {
  const { ContentLength: bytes = 0, LastModified } = output;
  const version = versionOf(call, output);
  return { bytes, modifiedAtMs: LastModified?.getTime() ?? 0, version, metadata: withoutPutMark(metadataOf(output)) };
}

/** @throws {CacheStoreError} the answer is not from the service */
export function versionOf(call: StoreCall, { ETag }: Pick<ObjectOutput, "ETag">): string {
  return versionInAnswer(call, ETag, "ETag");
}

/** All that was stored with an object. */
export function metadataOf({ Metadata = {} }: ObjectOutput): Record<string, string> {
  const metadata = Object.entries(Metadata).map(([name, value]) => [name.toLowerCase(), decodeHeaderText(value)]);
  return Object.fromEntries(metadata) as Record<string, string>;
}
