import { closeSync } from "node:fs";

import { readArchiveInto } from "../archive-file.ts";
import type { ArchiveFile } from "../archive-file.ts";
import type { EntryMetadata } from "../archived-entry.ts";
import { JobAborted } from "../engine/job-aborted.ts";
import { writeAll } from "../engine/ordered-output.ts";
import { releaseMemory } from "../engine/release-memory.ts";
import { CacheArchiveError, errnoOf } from "../errors.ts";
import { printablePath } from "../path-bytes.ts";
import { isAlreadyThere } from "../restore/already-there.ts";
import type { MutableMetadata } from "../restore/restore-table.ts";
import { StagedFiles } from "../restore/staged-files.ts";
import { FileQuestions } from "../restore/file-questions.ts";
import { restoreError } from "../restore/restore-runner.ts";
import type { ContentUnpacker, SharedRestoreJob, UnpackContext } from "../restore/restore-runner.ts";
import { COLUMN } from "../restore/restore-columns.ts";
import type { RestoreUnit } from "../restore/units.ts";
import { finishFile, openSharedFile, writeNewFile } from "../restore/write-file.ts";
import { unpackBytes } from "../zip/codec.ts";
import { METHOD_ZSTD } from "../zip/constants.ts";
import { Frames, LONG_FILE_FRAME_BYTES } from "./frame-index.ts";
import { FileHeader, wordsOf } from "./file-header.ts";
import { BLOCK_BYTES, encodeHeader } from "./header.ts";
import { LinkTargets } from "./link-targets.ts";
import type { SharedLinkTargets } from "./link-targets.ts";
import { beforeZero, records } from "./read.ts";

/** What a participant needs to restore a part of a tar archive with an index. */
export interface UnpackTarTask extends SharedRestoreJob {
  readonly kind: "unpack-tar";
  readonly file: ArchiveFile;
  /** Of {@link Frames}. */
  readonly frames: SharedArrayBuffer;
  readonly links: SharedLinkTargets;
}

interface UnpackedFrame {
  readonly frame: number;
  readonly content: Buffer;
}

/** Unpacks the frames of a tar archive into the staging folder. */
export class TarUnpacker implements ContentUnpacker {
  readonly #task: UnpackTarTask;
  readonly #context: UnpackContext;
  readonly #frames: Frames;
  readonly #counters: Int32Array;
  readonly #questions: FileQuestions;
  readonly #header = new FileHeader();
  readonly #links: LinkTargets;
  /** The last frame whose links are kept. */
  #kept = -1;
  readonly #places: StagedFiles;
  readonly #entry: MutableMetadata = { kind: "file", mode: 0, mtimeMs: 0.5, owner: { uid: 0, gid: 0 }, bytes: 0 };
  #packed: Buffer = EMPTY;
  #words: Int32Array = new Int32Array();
  /** The last frame that was unpacked; links lie close to each other. */
  #unpacked: UnpackedFrame | undefined;

  constructor(task: UnpackTarTask, context: UnpackContext) {
    this.#task = task;
    this.#context = context;
    this.#frames = new Frames(task.frames);
    this.#counters = new Int32Array(task.counters);
    this.#places = new StagedFiles(context.table, context.folders, `${task.staging}/tree`);
    this.#links = new LinkTargets(task.links);
    this.#questions = new FileQuestions(this.#counters, context.control);
  }

  restoreShort(entries: Int32Array): void {
    const nowMs = Date.now();
    for (let nth = 0; nth < entries.length; nth += 1) {
      const index = entries[nth] ?? 0;
      if (!this.#restoreNew(index, nowMs)) this.#restore(index);
    }
    if (this.#unpacked !== undefined && this.#unpacked.frame !== this.#kept) this.#keepLinks(this.#unpacked);
  }

  #keepLinks({ frame, content }: UnpackedFrame): void {
    const { table } = this.#context;
    this.#kept = frame;
    this.#links.keep(frame, table, (link) => {
      try {
        return this.#checkHeader(content, link, table.metadata(link));
      } catch (error) {
        throw restoreError(error, table.entry(link));
      }
    });
  }

  /** @returns false for a file that may be there already, which takes longer */
  #restoreNew(index: number, nowMs: number): boolean {
    const { table, job, control } = this.#context;
    if (control.isAborted) throw new JobAborted();
    try {
      const place = this.#places.find(index);
      if (place === undefined) return false;
      const content = this.#frame(table.number(index, COLUMN.frame));
      const entry = table.putMetadata(index, this.#entry);
      if (!this.#hasUsualHeader(index)) this.#checkHeader(content, index, entry);
      writeNewFile(place, content, this.#startOf(index), entry, job.policy, nowMs);
      return true;
    } catch (error) {
      throw restoreError(error, table.entry(index));
    }
  }

  #restore(index: number): void {
    const { table, folders, job, control } = this.#context;
    if (control.isAborted) throw new JobAborted();
    try {
      const target = table.target(index);
      const entry = table.metadata(index);
      if (this.#isThere(index, target, entry)) return;
      const content = this.#frame(table.number(index, COLUMN.frame));
      if (!this.#hasUsualHeader(index)) this.#checkHeader(content, index, entry);
      writeNewFile(folders.stage(target), content, this.#startOf(index), entry, job.policy);
    } catch (error) {
      throw restoreError(error, table.entry(index));
    }
  }

  restoreBlock(unit: number, { first: index, block, blocks }: RestoreUnit): void {
    const { table, folders, job } = this.#context;
    const entry = table.entry(index);
    const firstUnit = unit - block;
    try {
      const target = table.target(index);
      if (this.#questions.ask(firstUnit, () => this.#isThere(index, target, entry))) return;
      const frame = table.number(index, COLUMN.frame);
      const position = block * LONG_FILE_FRAME_BYTES;
      const wanted = Math.min(LONG_FILE_FRAME_BYTES, entry.bytes - position);
      const unpacked = this.#frame(frame + block);
      if (block === 0) this.#checkHeader(unpacked, index, entry);
      const start = block === 0 ? this.#startOf(index) : 0;
      const content = unpacked.subarray(start, start + wanted);
      if (this.#context.control.isAborted) throw new JobAborted();
      const descriptor = openSharedFile(folders.stage(target));
      try {
        writeAll(descriptor, content, position);
        // The last one of all blocks, whichever it is.
        if (Atomics.add(this.#counters, 2 * firstUnit, 1) + 1 === blocks) finishFile(descriptor, entry, job.policy);
      } finally {
        closeSync(descriptor);
      }
    } catch (error) {
      throw restoreError(error, entry);
    }
  }

  restoreStream(): Promise<void> {
    return Promise.reject(new TypeError("long files of an indexed archive are cut into frames"));
  }

  linkTarget(index: number): Buffer {
    const { table } = this.#context;
    const known = this.#links.get(index);
    if (known !== undefined) return known;
    return this.#checkHeader(this.#frame(table.number(index, COLUMN.frame)), index, table.metadata(index));
  }

  #isThere(index: number, target: string, entry: EntryMetadata): boolean {
    const { table, folders, job } = this.#context;
    const place = folders.existing(target);
    return place !== undefined && isAlreadyThere(place, entry, table.number(index, COLUMN.crc), job.policy.mask);
  }

  /** Nearly every file in the frame that was unpacked last has it, and it is compared in a fraction of the time of {@link #checkHeader}. */
  #hasUsualHeader(index: number): boolean {
    const { table } = this.#context;
    const isOneBlock = table.number(index, COLUMN.compressedBytes) === BLOCK_BYTES;
    return isOneBlock && this.#header.isAt(this.#words, table.number(index, COLUMN.offset), table, index);
  }

  /** Where the content of an entry begins in its frame. */
  #startOf(index: number): number {
    const { table } = this.#context;
    return table.number(index, COLUMN.offset) + table.number(index, COLUMN.compressedBytes);
  }

  /**
   * The index is what was checked, so the header must say the same as the index: another reader would see another archive otherwise.
   *
   * @param content - of the frame that it is in
   * @returns the target of a link
   */
  #checkHeader(content: Buffer, index: number, entry: EntryMetadata): Buffer {
    const { table } = this.#context;
    const header = content.subarray(table.number(index, COLUMN.offset), this.#startOf(index));
    const linkTarget = entry.kind === "symlink" ? linkTargetOf(header) : EMPTY;
    const expected = encodeHeader({
      name: table.rawName(index),
      type: entry.kind === "other" ? "file" : entry.kind,
      mode: entry.mode,
      uid: entry.owner?.uid ?? 0,
      gid: entry.owner?.gid ?? 0,
      bytes: entry.bytes,
      mtime: entry.mtimeMs / 1000,
      linkTarget,
    });
    if (expected.equals(header)) return linkTarget;
    const entryName = printablePath(table.entry(index).name);
    const message = `entry "${entryName}": its header says something else than the index`;
    throw new CacheArchiveError({ code: "header-mismatch", message, entryName });
  }

  #frame(frame: number): Buffer {
    if (this.#unpacked?.frame === frame) return this.#unpacked.content;
    const packedBytes = this.#frames.packedBytes(frame);
    const bytes = this.#frames.bytes(frame);
    this.#release();
    if (packedBytes > this.#packed.length) this.#packed = Buffer.allocUnsafeSlow(packedBytes);
    const packed = readArchiveInto(this.#task.file, this.#frames.offset(frame), this.#packed.subarray(0, packedBytes));
    const content = unpackFrame(this.#task.file, packed, bytes);
    this.#unpacked = { frame, content };
    this.#words = wordsOf(content);
    return content;
  }

  #release(): void {
    if (this.#unpacked !== undefined) releaseMemory(this.#unpacked.content);
    this.#unpacked = undefined;
  }
}

const EMPTY = Buffer.alloc(0);

function linkTargetOf(header: Buffer): Buffer {
  if (header.length > BLOCK_BYTES) {
    const length = Number.parseInt(header.toString("latin1", 124, 135), 8);
    for (const [key, value] of records(header.subarray(BLOCK_BYTES, BLOCK_BYTES + length))) {
      if (key === "linkpath") return value;
    }
  }
  const block = header.subarray(-BLOCK_BYTES);
  return beforeZero(block.subarray(157, 257));
}

/** The content of a frame, which has to have this length. @throws {CacheArchiveError} `malformed` */
export function unpackFrame(file: ArchiveFile, packed: Buffer, bytes: number): Buffer {
  try {
    const content = unpackBytes(METHOD_ZSTD, packed, bytes, bytes > SHORT_FRAME_BYTES ? FRAME_ROOM_BYTES : 0);
    // The decoder of some versions takes a frame that was cut off for a short one.
    if (content.length === bytes) return content;
  } catch (error) {
    throw damaged(file, `a frame cannot be unpacked (${errnoOf(error) ?? "unknown"})`, error);
  }
  throw damaged(file, "a frame has another length than the index says");
}

const SHORT_FRAME_BYTES = 64 * 1024;
/**
 * Longer than nearly every frame. Memory of one length can be used again for the next frame; of many lengths, the system takes half of it back and
 * gives it anew, page by page. What is not used of it costs nothing.
 */
const FRAME_ROOM_BYTES = 2 * LONG_FILE_FRAME_BYTES;

function damaged(file: ArchiveFile, what: string, cause?: unknown): CacheArchiveError {
  return new CacheArchiveError({
    code: "malformed",
    message: `${printablePath(file.path)} is damaged: ${what}`,
    cause,
  });
}
