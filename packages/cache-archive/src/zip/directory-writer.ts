import { ftruncateSync } from "node:fs";

import type { BlockTable } from "../engine/block-table.ts";
import type { EntryTable } from "../engine/entry-table.ts";
import { writeAll } from "../engine/ordered-output.ts";
import type { UnitList } from "../engine/units.ts";
import type { ArchiveEntry } from "../types.ts";
import { blockBytesFor, encodeBlockIndex } from "./block-index.ts";
import { METHOD_DEFLATE } from "./constants.ts";
import { centralHeaderLength, endRecords, putCentralHeader } from "./records.ts";
import type { EntryHeader } from "./records.ts";

/** What the directory of an archive is made of, when all entries are written. */
export interface DirectorySource {
  readonly entries: EntryTable;
  readonly units: UnitList;
  readonly blocks: BlockTable;
  readonly headerOf: (entry: ArchiveEntry, form: number) => EntryHeader;
}

/** Records are gathered up to this length: a system call for each would cost more than the copy. */
const GATHERED_BYTES = 1024 * 1024;

/**
 * Writes the central directory and the end of the archive, which ends the file there.
 *
 * @param start - where the directory begins
 * @returns how many bytes were written
 */
export function writeDirectory(
  { entries, units, blocks, headerOf }: DirectorySource,
  descriptor: number,
  start: number,
): number {
  const firstBlocks = findFirstBlocks(units);
  const gathered = Buffer.allocUnsafeSlow(GATHERED_BYTES);
  let used = 0;
  let end = start;
  const makeRoom = (bytes: number): void => {
    if (used + bytes <= gathered.length) return;
    writeAll(descriptor, gathered.subarray(0, used), end);
    end += used;
    used = 0;
  };
  for (let index = 0; index < entries.count; index += 1) {
    const entry = entries.entry(index);
    const packed = entries.packed(index);
    const offset = entries.offset(index);
    const plain = headerOf(entry, packed.form);
    const firstUnit = plain.method === METHOD_DEFLATE ? firstBlocks.get(index) : undefined;
    const header =
      firstUnit === undefined
        ? plain
        : { ...plain, extra: Buffer.concat([plain.extra, blockIndex(entry, firstUnit, blocks)]) };
    makeRoom(centralHeaderLength(header, packed, offset));
    used = putCentralHeader(gathered, used, header, packed, offset);
  }
  const records = endRecords(entries.count, end + used - start, start);
  makeRoom(records.length);
  used += records.copy(gathered, used);
  writeAll(descriptor, gathered.subarray(0, used), end);
  end += used;
  ftruncateSync(descriptor, end);
  return end - start;
}

function findFirstBlocks(units: UnitList): Map<number, number> {
  const found = new Map<number, number>();
  for (let unit = 0; unit < units.length; unit += 1) {
    const { first, block } = units.at(unit);
    if (block === 0) found.set(first, unit);
  }
  return found;
}

function blockIndex(entry: ArchiveEntry, firstUnit: number, blocks: BlockTable): Buffer {
  const blockBytes = blockBytesFor(entry.bytes);
  const count = Math.ceil(entry.bytes / blockBytes);
  const packedBytes = Array.from({ length: count }, (_, block) => blocks.compressedBytes(firstUnit + block));
  return encodeBlockIndex({ blockBytes, packedBytes });
}
