import { decodeHeaderText, withoutPutMark } from "@fleetfoot/cache-backend";
import type { ObjectFacts } from "@fleetfoot/cache-backend";

/** What the service says of an object, whichever request it answers. */
export interface ObjectOutput {
  readonly ContentLength?: number | undefined;
  readonly LastModified?: Date | undefined;
  readonly ETag?: string | undefined;
  readonly Metadata?: Readonly<Record<string, string>> | undefined;
}

/** The facts of an object as its reader gets them. */
export function toFacts(output: ObjectOutput): ObjectFacts {
  const { ContentLength: bytes = 0, LastModified, ETag: version = "" } = output;
  return { bytes, modifiedAtMs: LastModified?.getTime() ?? 0, version, metadata: withoutPutMark(metadataOf(output)) };
}

/** All that was stored with an object. */
export function metadataOf({ Metadata = {} }: ObjectOutput): Record<string, string> {
  const metadata = Object.entries(Metadata).map(([name, value]) => [name.toLowerCase(), decodeHeaderText(value)]);
  return Object.fromEntries(metadata) as Record<string, string>;
}
