import { closeSync, writeSync } from "node:fs";
import { pipeline } from "node:stream/promises";
import { crc32 } from "node:zlib";

import { readArchive, readArchiveInto, readPieces } from "../archive-file.ts";
import type { ArchiveFile } from "../archive-file.ts";
import { BlockTable } from "../engine/block-table.ts";
import { JobAborted } from "../engine/job-aborted.ts";
import { writeAll } from "../engine/ordered-output.ts";
import { CacheArchiveError } from "../errors.ts";
import { printablePath } from "../path-bytes.ts";
import { isAlreadyThere } from "../restore/already-there.ts";
import { restoreError } from "../restore/restore-runner.ts";
import type { ContentUnpacker, SharedRestoreJob, UnpackContext } from "../restore/restore-runner.ts";
import type { RestoreUnit } from "../restore/units.ts";
import { finishFile, openSharedFile, writeNewFile } from "../restore/write-file.ts";
import { decompressStream, unpackBytes } from "./codec.ts";
import { LOCAL_HEADER_LENGTH } from "./constants.ts";
import { checkContent, checkLocalHeader, damage, unpackWhole } from "./content.ts";
import type { ZipContent } from "./content.ts";

/** What a participant needs to restore a part of a zip archive. */
export interface UnpackZipTask extends SharedRestoreJob {
  readonly kind: "unpack-zip";
  readonly file: ArchiveFile;
  /** Facts of blocks of long files, a row for each unit. */
  readonly blocks: SharedArrayBuffer;
}

/** Local extra fields are often a little longer than central ones. */
const LOCAL_EXTRA_SLACK = 64;
const MAX_LOCAL_EXTRA = 0xffff;
/** Longer link targets do not exist on any system. */
const MAX_LINK_BYTES = 64 * 1024;
/** Blocks of stored files. */
export const STORED_BLOCK_BYTES: number = 1024 * 1024;

/** Unpacks the content of zip entries into the staging folder. */
export class ZipUnpacker implements ContentUnpacker {
  readonly #task: UnpackZipTask;
  readonly #context: UnpackContext;
  readonly #blocks: BlockTable;
  readonly #counters: Int32Array;
  #input = Buffer.allocUnsafeSlow(1024 * 1024);

  constructor(task: UnpackZipTask, context: UnpackContext) {
    this.#task = task;
    this.#context = context;
    this.#blocks = new BlockTable(task.blocks);
    this.#counters = new Int32Array(task.counters);
  }

  restoreShort(entries: readonly number[]): void {
    const { table, folders, job, control } = this.#context;
    const todo = entries.filter((index) => !this.#isThere(index));
    const first = todo[0];
    const last = todo.at(-1);
    if (first === undefined || last === undefined) return;
    const start = this.#content(first).offset;
    const read = this.#read(start, endOf(this.#content(last)) + LOCAL_EXTRA_SLACK - start);
    for (const index of todo) {
      if (control.isAborted) throw new JobAborted();
      const content = this.#content(index);
      const entry = table.entry(index);
      try {
        const bytes = unpackWhole(this.#packed(content, read, start), content);
        writeNewFile(folders.stage(table.target(index)), bytes, entry, job.policy);
      } catch (error) {
        throw restoreError(error, entry);
      }
    }
  }

  restoreBlock(unit: number, range: RestoreUnit): void {
    const index = range.first;
    const entry = this.#context.table.entry(index);
    try {
      if (!this.#isLongThere(unit - range.block, index)) this.#restoreBlock(unit, range);
    } catch (error) {
      throw restoreError(error, entry);
    }
  }

  async restoreStream(index: number): Promise<void> {
    const entry = this.#context.table.entry(index);
    try {
      if (!this.#isThere(index)) await this.#restoreStream(index);
    } catch (error) {
      throw restoreError(error, entry);
    }
  }

  linkTarget(index: number): Buffer {
    const content = this.#content(index);
    if (content.bytes > MAX_LINK_BYTES || content.compressedBytes > MAX_LINK_BYTES || content.bytes === 0) {
      const entryName = printablePath(content.name);
      const message = `entry "${entryName}" is a link, but its target has ${content.bytes} bytes`;
      throw new CacheArchiveError({ code: "malformed", message, entryName });
    }
    const start = content.offset;
    return Buffer.from(
      unpackWhole(this.#packed(content, this.#read(start, endOf(content) + LOCAL_EXTRA_SLACK - start), start), content),
    );
  }

  #restoreBlock(unit: number, { first: index, block, blocks, packedStart, packedBytes }: RestoreUnit): void {
    const { table, folders, job } = this.#context;
    const content = this.#content(index);
    const dataStart = content.offset + this.#checkHeader(content);
    const blockBytes = blockBytesOf(content.bytes, blocks);
    const expected = Math.min(blockBytes, content.bytes - block * blockBytes);
    const packed = this.#read(dataStart + packedStart, packedBytes);
    let bytes: Buffer;
    try {
      bytes = unpackBytes(content.method, packed, expected, block < blocks - 1);
    } catch (error) {
      throw damage(error, content);
    }
    if (bytes.length !== expected) checkContent(content, block * blockBytes + bytes.length, -1);
    this.#blocks.set(unit, crc32(bytes), bytes.length, packedBytes);
    const descriptor = openSharedFile(folders.stage(table.target(index)));
    try {
      writeAll(descriptor, bytes, block * blockBytes);
      const firstUnit = unit - block;
      if (Atomics.add(this.#counters, 2 * firstUnit, 1) + 1 < blocks) return;
      // The last one of all blocks, whichever it is.
      const { crc, bytes: total } = this.#blocks.sum(firstUnit, blocks);
      checkContent(content, total, crc);
      finishFile(descriptor, table.entry(index), job.policy);
    } finally {
      closeSync(descriptor);
    }
  }

  async #restoreStream(index: number): Promise<void> {
    const { table, folders, job, control } = this.#context;
    const content = this.#content(index);
    const dataStart = content.offset + this.#checkHeader(content);
    const descriptor = openSharedFile(folders.stage(table.target(index)));
    let crc = 0;
    let bytes = 0;
    const write = async (unpacked: AsyncIterable<Buffer>): Promise<void> => {
      for await (const piece of unpacked) {
        if (control.isAborted) throw new JobAborted();
        bytes += piece.length;
        if (bytes > content.bytes) checkContent(content, bytes, crc);
        crc = crc32(piece, crc);
        for (let done = 0; done < piece.length;) done += writeSync(descriptor, piece, done);
      }
    };
    try {
      const source = readPieces(this.#task.file, dataStart, content.compressedBytes);
      const transform = decompressStream(content.method);
      await (transform === undefined ? pipeline(source, write) : pipeline(source, transform, write));
      checkContent(content, bytes, crc);
      finishFile(descriptor, table.entry(index), job.policy);
    } catch (error) {
      throw damage(error, content);
    } finally {
      closeSync(descriptor);
    }
  }

  #isThere(index: number): boolean {
    const { table, folders, job } = this.#context;
    const target = table.target(index);
    return isAlreadyThere(folders.existing(target), table.entry(index), table.facts(index).crc, job.policy.mask);
  }

  /** Whoever comes first looks, for all blocks of the file. */
  #isLongThere(firstUnit: number, index: number): boolean {
    const word = 2 * firstUnit + 1;
    if (Atomics.compareExchange(this.#counters, word, UNKNOWN, LOOKING) === UNKNOWN) {
      Atomics.store(this.#counters, word, this.#isThere(index) ? THERE : MISSING);
      Atomics.notify(this.#counters, word);
    }
    while (Atomics.load(this.#counters, word) === LOOKING && !this.#context.control.isAborted) {
      Atomics.wait(this.#counters, word, LOOKING, DECISION_PAUSE_MS);
    }
    return Atomics.load(this.#counters, word) === THERE;
  }

  /** The entry's packed data, from what was read, or from the archive when its local header is unusually long. */
  #packed(content: ZipContent, read: Buffer, start: number): Buffer {
    const at = content.offset - start;
    const headerLength = checkLocalHeader(read.subarray(at), content);
    const end = at + headerLength + content.compressedBytes;
    if (end <= read.length) return read.subarray(at + headerLength, end);
    return readArchive(this.#task.file, content.offset + headerLength, content.compressedBytes);
  }

  #checkHeader(content: ZipContent): number {
    const { file } = this.#task;
    const length = LOCAL_HEADER_LENGTH + content.rawName.length + MAX_LOCAL_EXTRA;
    return checkLocalHeader(readArchive(file, content.offset, Math.min(length, file.size - content.offset)), content);
  }

  #read(position: number, length: number): Buffer {
    const { file } = this.#task;
    const wanted = Math.min(length, file.size - position);
    if (wanted > this.#input.length) this.#input = Buffer.allocUnsafeSlow(wanted);
    return readArchiveInto(file, position, this.#input.subarray(0, wanted));
  }

  #content(index: number): ZipContent {
    const { table } = this.#context;
    return {
      ...table.facts(index),
      rawName: table.rawName(index),
      name: table.entry(index).name,
      bytes: table.bytes(index),
    };
  }
}

const UNKNOWN = 0;
const LOOKING = 1;
const THERE = 2;
const MISSING = 3;
/** The wait for another participant is cut into pieces, in case that one dies. */
const DECISION_PAUSE_MS = 50;

/** Unpacked length of all blocks but the last. */
function blockBytesOf(bytes: number, blocks: number): number {
  let blockBytes = STORED_BLOCK_BYTES;
  while (Math.ceil(bytes / blockBytes) > blocks) blockBytes *= 2;
  return blockBytes;
}

function endOf(content: ZipContent): number {
  return content.offset + LOCAL_HEADER_LENGTH + content.rawName.length + content.compressedBytes;
}
