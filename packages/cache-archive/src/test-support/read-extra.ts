import { ExtraFacts } from "../zip/extra.ts";

interface Sizes {
  readonly bytes: number;
  readonly compressedBytes: number;
  readonly offset: number;
}

interface Facts {
  readonly mtimeMs: number | undefined;
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
  readonly sizes: Sizes;
  readonly blocks: Buffer | undefined;
}

/** What the extra fields behind a name say. */
export function readExtra(extra: Buffer, given: Sizes, name: string): Facts {
  const header = Buffer.concat([Buffer.from(name), extra]);
  const facts = new ExtraFacts();
  facts.begin(given.bytes, given.compressedBytes, given.offset);
  facts.read(new DataView(header.buffer, header.byteOffset, header.length), 0, name.length, header.length);
  const { mtimeMs, uid, gid, bytes, compressedBytes, offset, blocksStart, blocksEnd } = facts;
  return {
    mtimeMs,
    owner: uid < 0 ? undefined : { uid, gid },
    sizes: { bytes, compressedBytes, offset },
    blocks: blocksStart === 0 ? undefined : header.subarray(blocksStart, blocksEnd),
  };
}
