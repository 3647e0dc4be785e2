import { crc32, deflateRawSync } from "node:zlib";

import { FLAG_DESCRIPTOR, METHOD_DEFLATE, METHOD_STORED, TYPE_FILE } from "../zip/constants.ts";
import { centralHeader, dataDescriptor, endRecords, localHeader } from "../zip/records.ts";
import type { EntryData, EntryHeader } from "../zip/records.ts";

/** One entry as a stranger may have written it; what is not given is honest. */
export interface ForgedEntry {
  readonly name: string | Buffer;
  /** Type and permission bits. @default 0o100644 */
  readonly mode?: number;
  readonly content?: string | Buffer;
  readonly method?: number;
  readonly extra?: Buffer;
  readonly flags?: number;
  /** What the central directory says. */
  readonly central?: Partial<EntryHeader & EntryData> & { readonly offset?: number };
  /** What the local header says. */
  readonly local?: Partial<EntryHeader & EntryData>;
}

/** A zip archive of exactly these entries, with nothing checked. */
export function forgeZip(entries: readonly ForgedEntry[]): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  const push = (part: Buffer): void => {
    parts.push(part);
    offset += part.length;
  };
  for (const entry of entries) {
    const content = Buffer.from(entry.content ?? "");
    const method = entry.method ?? METHOD_STORED;
    const packed = method === METHOD_DEFLATE ? deflateRawSync(content) : content;
    const header: EntryHeader = {
      name: Buffer.from(entry.name),
      flags: entry.flags ?? 0,
      method,
      date: 0x5822,
      time: 0x1882,
      externalAttributes: ((entry.mode ?? TYPE_FILE | 0o644) << 16) >>> 0,
      extra: entry.extra ?? Buffer.alloc(0),
    };
    const data: EntryData = { crc: crc32(content), compressedBytes: packed.length, bytes: content.length };
    directory.push(
      centralHeader({ ...header, ...entry.central }, { ...data, ...entry.central }, entry.central?.offset ?? offset),
    );
    const described = (header.flags & FLAG_DESCRIPTOR) !== 0;
    push(localHeader({ ...header, ...entry.local }, described ? undefined : { ...data, ...entry.local }));
    push(packed);
    if (described) push(dataDescriptor(data));
  }
  const start = offset;
  for (const record of directory) push(record);
  push(endRecords(entries.length, offset - start, start));
  return Buffer.concat(parts);
}
