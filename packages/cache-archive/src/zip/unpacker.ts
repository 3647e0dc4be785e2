import { closeSync, writeSync } from "node:fs";
import { pipeline } from "node:stream/promises";
import { crc32 } from "node:zlib";

import { createInflater } from "@fleetfoot/deflate";
import type { Inflater } from "@fleetfoot/deflate";

import { readArchive, readArchiveInto, readPieces } from "../archive-file.ts";
import type { ArchiveFile } from "../archive-file.ts";
import { BlockTable } from "../engine/block-table.ts";
import { JobAborted } from "../engine/job-aborted.ts";
import { writeAll } from "../engine/ordered-output.ts";
import { isAlreadyThere } from "../restore/already-there.ts";
import { FileQuestions } from "../restore/file-questions.ts";
import { restoreError } from "../restore/restore-runner.ts";
import type { ContentUnpacker, SharedRestoreJob, UnpackContext } from "../restore/restore-runner.ts";
import { COLUMN } from "../restore/restore-columns.ts";
import type { RestoreUnit } from "../restore/units.ts";
import { finishFile, openSharedFile, writeNewFile } from "../restore/write-file.ts";
import { Turn } from "../turn.ts";
import { decompressStream, unpackBytes } from "./codec.ts";
import { LOCAL_HEADER_LENGTH, METHOD_DEFLATE, METHOD_STORED } from "./constants.ts";
import { checkContent, checkLinkTarget, checkLocalHeader, damage, isStreamedHeader } from "./content.ts";
import type { ZipContent } from "./content.ts";
import { inflaterFor } from "./thread-inflater.ts";

/** What a participant needs to restore a part of a zip archive. */
export interface UnpackZipTask extends SharedRestoreJob {
  readonly kind: "unpack-zip";
  readonly file: ArchiveFile;
  /** Facts of blocks of long files, a row for each unit. */
  readonly blocks: SharedArrayBuffer;
}

/** Local extra fields are often a little longer than central ones. */
const LOCAL_EXTRA_SLACK = 64;
/** Blocks of stored files. */
export const STORED_BLOCK_BYTES: number = 1024 * 1024;

/** Of long files that one participant unpacks. Longer ones leave the processor's cache until they are written. */
const PIECE_BYTES = 256 * 1024;

/** Unpacks the content of zip entries into the staging folder. */
export class ZipUnpacker implements ContentUnpacker {
  readonly #task: UnpackZipTask;
  readonly #context: UnpackContext;
  readonly #blocks: BlockTable;
  readonly #counters: Int32Array;
  readonly #questions: FileQuestions;
  #pieceInflater: Inflater | undefined;
  #piece: Buffer | undefined;
  /** The last long entry whose local header was looked at; most have many blocks. */
  #headed = { index: -1, dataStart: 0 };

  constructor(task: UnpackZipTask, context: UnpackContext) {
    this.#task = task;
    this.#context = context;
    this.#blocks = new BlockTable(task.blocks);
    this.#counters = new Int32Array(task.counters);
    this.#questions = new FileQuestions(this.#counters, context.control);
  }

  restoreShort(entries: Int32Array): void {
    const { table } = this.#context;
    const todo = entries.filter((index) => !this.#isThere(index));
    const first = todo[0];
    const last = todo.at(-1);
    if (first === undefined || last === undefined) return;
    let longest = 0;
    for (const index of todo) longest = Math.max(longest, table.bytes(index));
    const start = table.number(first, COLUMN.offset);
    const read = this.#read(start, this.#endOf(last) + LOCAL_EXTRA_SLACK - start, longest);
    const unread = todo.filter((index) => !this.#restoreFrom(read, start, index));
    for (const index of unread) this.#restoreAlone(index);
  }

  /** @returns false when the local header is so long that not all of the entry was read */
  #restoreFrom(read: Buffer, readStart: number, index: number): boolean {
    const { table, control } = this.#context;
    if (control.isAborted) throw new JobAborted();
    const at = table.number(index, COLUMN.offset) - readStart;
    const nameStart = at + LOCAL_HEADER_LENGTH;
    if (nameStart > read.length) return false;
    const nameEnd = nameStart + read.readUInt16LE(at + 26);
    const dataStart = nameEnd + read.readUInt16LE(at + 28);
    if (dataStart + table.number(index, COLUMN.compressedBytes) > read.length) return false;
    try {
      // The usual header is looked at without making anything of the entry.
      const isStreamed = isStreamedHeader(read, at, table.number(index, COLUMN.method));
      const isUsual = isStreamed && table.hasNameAt(index, read, nameStart, nameEnd);
      if (!isUsual) checkLocalHeader(read.subarray(at), this.#content(index));
      this.#write(index, this.#unpack(index, read, dataStart));
    } catch (error) {
      throw restoreError(error, table.entry(index));
    }
    return true;
  }

  #restoreAlone(index: number): void {
    const { table, control } = this.#context;
    if (control.isAborted) throw new JobAborted();
    try {
      this.#write(index, this.#unpackAlone(index));
    } catch (error) {
      throw restoreError(error, table.entry(index));
    }
  }

  #write(index: number, content: Buffer): void {
    const { table, folders, job } = this.#context;
    writeNewFile(folders.stage(table.target(index)), content, 0, table.metadata(index), job.policy);
  }

  restoreBlock(unit: number, range: RestoreUnit): void {
    const index = range.first;
    const entry = this.#context.table.entry(index);
    try {
      const isThere = this.#questions.ask(unit - range.block, () => this.#isThere(index));
      if (!isThere) this.#restoreBlock(unit, range);
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
    checkLinkTarget(this.#content(index));
    return Buffer.from(this.#unpackAlone(index));
  }

  #restoreBlock(unit: number, { first: index, block, blocks, packedStart, packedBytes }: RestoreUnit): void {
    const { table, folders, job } = this.#context;
    const content = this.#content(index);
    const dataStart = this.#dataStart(index, content);
    const blockBytes = blockBytesOf(content.bytes, blocks);
    const position = block * blockBytes;
    const expected = Math.min(blockBytes, content.bytes - position);
    const isStored = content.method === METHOD_STORED && packedBytes === expected;
    const from = dataStart + packedStart;
    const descriptor = openSharedFile(folders.stage(table.target(index)));
    try {
      let crc: number;
      if (isStored) {
        crc = this.#copy(from, expected, descriptor, position);
      } else {
        const packed = this.#read(from, packedBytes, expected);
        const bytes = this.#unpackData(index, packed, 0, packedBytes, expected, block < blocks - 1);
        if (bytes.length !== expected) checkContent(content, position + bytes.length, -1);
        crc = crc32(bytes);
        writeAll(descriptor, bytes, position);
      }
      this.#blocks.set(unit, crc, expected, packedBytes);
      const firstUnit = unit - block;
      if (Atomics.add(this.#counters, 2 * firstUnit, 1) + 1 < blocks) return;
      // The last one of all blocks, whichever it is.
      const whole = this.#blocks.sum(firstUnit, blocks);
      checkContent(content, whole.bytes, whole.crc);
      finishFile(descriptor, table.entry(index), job.policy);
    } finally {
      closeSync(descriptor);
    }
  }

  /** Stored data goes through little memory. @returns its CRC */
  #copy(from: number, length: number, descriptor: number, position: number): number {
    this.#piece ??= Buffer.allocUnsafeSlow(PIECE_BYTES);
    let crc = 0;
    for (let done = 0; done < length; done += PIECE_BYTES) {
      const target = this.#piece.subarray(0, Math.min(PIECE_BYTES, length - done));
      const piece = readArchiveInto(this.#task.file, from + done, target);
      crc = crc32(piece, crc);
      writeAll(descriptor, piece, position + done);
    }
    return crc;
  }

  async #restoreStream(index: number): Promise<void> {
    const { table, folders, job, control } = this.#context;
    const content = this.#content(index);
    const dataStart = content.offset + this.#checkHeader(content);
    const descriptor = openSharedFile(folders.stage(table.target(index)));
    let crc = 0;
    let bytes = 0;
    const write = async (unpacked: AsyncIterable<Buffer> | Iterable<Buffer>): Promise<void> => {
      const turn = new Turn();
      for await (const piece of unpacked) {
        if (control.isAborted) throw new JobAborted();
        bytes += piece.length;
        if (bytes > content.bytes) checkContent(content, bytes, crc);
        crc = crc32(piece, crc);
        for (let done = 0; done < piece.length;) done += writeSync(descriptor, piece, done);
        if (turn.isOver) await turn.next();
      }
    };
    try {
      if (content.method === METHOD_DEFLATE) {
        await write(this.#inflatePieces(dataStart, content.compressedBytes));
      } else {
        const source = readPieces(this.#task.file, dataStart, content.compressedBytes);
        const transform = decompressStream(content.method);
        await (transform === undefined ? pipeline(source, write) : pipeline(source, transform, write));
      }
      checkContent(content, bytes, crc);
      finishFile(descriptor, table.entry(index), job.policy);
    } catch (error) {
      throw damage(error, content);
    } finally {
      closeSync(descriptor);
    }
  }

  #inflatePieces(start: number, length: number): Generator<Buffer, void> {
    // Of its own, since others use that of the thread between the turns.
    this.#pieceInflater ??= createInflater({ inputBytes: PIECE_BYTES, outputBytes: PIECE_BYTES });
    let done = 0;
    return this.#pieceInflater.inflatePieces((target) => {
      const wanted = Math.min(target.length, length - done);
      readArchiveInto(this.#task.file, start + done, target.subarray(0, wanted));
      done += wanted;
      return wanted;
    });
  }

  #isThere(index: number): boolean {
    const { table, folders, job } = this.#context;
    const place = folders.existing(table.target(index));
    return (
      place !== undefined &&
      isAlreadyThere(place, table.metadata(index), table.number(index, COLUMN.crc), job.policy.mask)
    );
  }

  /** The checked content of an entry that is read on its own, with one call if its local header is not longer than most. */
  #unpackAlone(index: number): Buffer {
    const content = this.#content(index);
    const { compressedBytes, bytes, offset } = content;
    const usual = this.#read(offset, usualHeaderBytes(content) + compressedBytes, bytes);
    const headerEnd = headerEndIn(usual);
    if (headerEnd !== undefined && headerEnd + compressedBytes <= usual.length) {
      checkLocalHeader(usual, content);
      return this.#unpack(index, usual, headerEnd);
    }
    const dataStart = offset + this.#checkHeader(content);
    return this.#unpack(index, this.#read(dataStart, compressedBytes, bytes), 0);
  }

  /** The checked content of an entry whose data begins at a place of what was read. */
  #unpack(index: number, read: Buffer, dataStart: number): Buffer {
    const { table } = this.#context;
    const dataEnd = dataStart + table.number(index, COLUMN.compressedBytes);
    const expected = table.bytes(index);
    const bytes = this.#unpackData(index, read, dataStart, dataEnd, expected, false);
    const found = crc32(bytes);
    if (bytes.length !== expected || found !== table.number(index, COLUMN.crc))
      checkContent(this.#content(index), bytes.length, found);
    return bytes;
  }

  #unpackData(index: number, read: Buffer, start: number, end: number, bytes: number, isOpenEnded: boolean): Buffer {
    const method = this.#context.table.number(index, COLUMN.method);
    try {
      if (method !== METHOD_DEFLATE) return unpackBytes(method, read.subarray(start, end), bytes);
      // What was read lies in its memory.
      const inflater = inflaterFor(0, 0);
      const length = isOpenEnded ? inflater.inflateOpen(start, end, 0, bytes) : inflater.inflate(start, end, 0, bytes);
      return inflater.output.subarray(0, length);
    } catch (error) {
      throw damage(error, this.#content(index));
    }
  }

  /** Where the data of a long entry begins, of which a participant unpacks many blocks. */
  #dataStart(index: number, content: ZipContent): number {
    if (this.#headed.index !== index) {
      this.#headed = { index, dataStart: content.offset + this.#checkHeader(content) };
    }
    return this.#headed.dataStart;
  }

  #checkHeader(content: ZipContent): number {
    const { file } = this.#task;
    const read = (length: number): Buffer =>
      readArchive(file, content.offset, Math.min(length, file.size - content.offset));
    const usual = read(usualHeaderBytes(content));
    const headerEnd = headerEndIn(usual) ?? 0;
    return checkLocalHeader(headerEnd <= usual.length ? usual : read(headerEnd), content);
  }

  /** Reads into the memory of the inflater, which then has room for so many unpacked bytes. */
  #read(position: number, length: number, unpackedBytes: number): Buffer {
    const { file } = this.#task;
    const wanted = Math.min(length, file.size - position);
    return readArchiveInto(file, position, inflaterFor(wanted, unpackedBytes).input.subarray(0, wanted));
  }

  /** Of an entry without local extra fields. */
  #endOf(index: number): number {
    const { table } = this.#context;
    const nameEnd = table.number(index, COLUMN.offset) + LOCAL_HEADER_LENGTH + table.number(index, COLUMN.nameLength);
    return nameEnd + table.number(index, COLUMN.compressedBytes);
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

function usualHeaderBytes({ rawName }: ZipContent): number {
  return LOCAL_HEADER_LENGTH + rawName.length + LOCAL_EXTRA_SLACK;
}

/** Length of a local header with name and extra fields, as it says itself; `undefined` when not even its own fields were read. */
function headerEndIn(start: Buffer): number | undefined {
  if (start.length < LOCAL_HEADER_LENGTH) return undefined;
  return LOCAL_HEADER_LENGTH + start.readUInt16LE(26) + start.readUInt16LE(28);
}

/** Unpacked length of all blocks but the last. */
function blockBytesOf(bytes: number, blocks: number): number {
  let blockBytes = STORED_BLOCK_BYTES;
  while (Math.ceil(bytes / blockBytes) > blocks) blockBytes *= 2;
  return blockBytes;
}
