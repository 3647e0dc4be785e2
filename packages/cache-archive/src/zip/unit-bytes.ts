import { createDeflater, deflateBound } from "@fleetfoot/deflate";
import type { Deflater } from "@fleetfoot/deflate";

import { WHOLE_FILE_BYTES } from "../source-file.ts";
import { METHOD_DEFLATE } from "./constants.ts";
import { looksIncompressible, packBlock, packBytes } from "./pack-bytes.ts";
import type { PackMethod } from "./codec.ts";
import { localHeaderLength, putLocalHeader, putShortDescriptor, SHORT_DESCRIPTOR_BYTES } from "./records.ts";
import type { EntryData, EntryHeader } from "./records.ts";

/** What a file is read into: one byte more than it should have shows that it has grown. */
const INPUT_BYTES = WHOLE_FILE_BYTES + 1;
/** Headers and descriptors of a unit's entries hardly ever need more. */
const RECORDS_BYTES = 256 * 1024;

/** The level that our own codec stands for. */
const OWN_LEVEL = 1;

/**
 * The bytes of one unit as they are going to stand in the archive, in memory that is used for one unit after the other, and on any thread by one
 * archive at a time.
 */
export class UnitBytes {
  /** Content goes here. Longer content may come from elsewhere. */
  readonly input: Buffer;
  readonly #method: PackMethod;
  readonly #deflater: Deflater | undefined;
  readonly #own: Buffer;
  #bytes: Buffer;
  #used = 0;

  constructor(method: PackMethod) {
    this.#method = method;
    this.#deflater = method.method === METHOD_DEFLATE && method.level === OWN_LEVEL ? deflaterOfThread() : undefined;
    this.input = this.#deflater?.input ?? Buffer.allocUnsafeSlow(INPUT_BYTES);
    this.#own = this.#deflater?.output ?? Buffer.allocUnsafeSlow(2 * WHOLE_FILE_BYTES);
    this.#bytes = this.#own;
  }

  /** Begins the next unit. */
  clear(): void {
    this.#used = 0;
    this.#bytes = this.#own;
  }

  get length(): number {
    return this.#used;
  }

  /** Valid until the next unit begins. */
  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#used);
  }

  /** @returns how many bytes were appended */
  append(bytes: Buffer): number {
    this.#makeRoom(bytes.length);
    this.#bytes.set(bytes, this.#used);
    this.#used += bytes.length;
    return bytes.length;
  }

  appendHeader(header: EntryHeader, data?: EntryData): void {
    this.#makeRoom(localHeaderLength(header));
    this.#used = putLocalHeader(this.#bytes, this.#used, header, data);
  }

  appendDescriptor(data: EntryData): void {
    this.#makeRoom(SHORT_DESCRIPTOR_BYTES);
    this.#used = putShortDescriptor(this.#bytes, this.#used, data);
  }

  /**
   * Appends header and content, packed.
   *
   * @param mayRefuse - whether to append nothing when it would be longer than the content
   * @returns the packed length
   */
  appendPacked(header: EntryHeader, content: Buffer, mayRefuse: boolean): number | undefined {
    const start = this.#used;
    this.appendHeader(header);
    const packedBytes = this.#pack(content, false) ?? this.#packElsewhere(content, mayRefuse);
    if (packedBytes !== undefined && !(mayRefuse && packedBytes > content.length)) return packedBytes;
    this.#used = start;
    return undefined;
  }

  /**
   * Appends one block of a file that is packed in blocks.
   *
   * @returns the packed length
   */
  appendBlock(content: Buffer, isLast: boolean): number {
    return this.#pack(content, !isLast) ?? this.append(packBlock(this.#method.level, content, isLast));
  }

  /** Packs with our own codec, if the content lies where it looks, and if there is enough room. */
  #pack(content: Buffer, isOpen: boolean): number | undefined {
    const deflater = this.#deflater;
    const isInPlace = content.buffer === this.input.buffer && this.#bytes === this.#own;
    if (deflater === undefined || !isInPlace) return undefined;
    if (this.#used + deflateBound(content.length) > this.#own.length) return undefined;
    const from = content.byteOffset - this.input.byteOffset;
    const to = from + content.length;
    const packedBytes = isOpen ? deflater.deflateOpen(from, to, this.#used) : deflater.deflate(from, to, this.#used);
    this.#used += packedBytes;
    return packedBytes;
  }

  #packElsewhere(content: Buffer, mayRefuse: boolean): number | undefined {
    if (mayRefuse && looksIncompressible(content)) return undefined;
    return this.append(packBytes(this.#method, content));
  }

  #makeRoom(bytes: number): void {
    if (this.#used + bytes <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(2 * (this.#used + bytes));
    this.#bytes.copy(larger, 0, 0, this.#used);
    this.#bytes = larger;
  }
}

let deflater: Deflater | undefined;

/** Units are packed without a pause, so that those of several archives can take turns with it. */
function deflaterOfThread(): Deflater {
  deflater ??= createDeflater({
    inputBytes: INPUT_BYTES,
    outputBytes: deflateBound(WHOLE_FILE_BYTES) + RECORDS_BYTES,
  });
  return deflater;
}
