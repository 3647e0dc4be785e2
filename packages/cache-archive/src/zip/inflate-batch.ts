import { gunzipSync } from "node:zlib";

/*
 * A call of zlib for each of tens of thousands of short files takes longer than the inflating itself. One call takes many files if
 * they look to it like one gzip file of many members: each one's deflate data between a header and a trailer that are made up here from
 * what the archive's directory says. So zlib checks the CRC and the length of each one, too.
 *
 * @see RFC 1952 2.2
 */
const HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
const MEMBER_START = HEADER.subarray(0, 3);
const TRAILER_BYTES = 8;

/** Unpacks many deflated entries with one call. */
export class InflateBatch {
  #input = Buffer.allocUnsafeSlow(64 * 1024);
  #length = 0;
  #members = 0;
  #bytes = 0;

  /** Unpacked length of all entries so far. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Adds the data that lies between two places of `source`.
   *
   * @param bytes - length of the entry when unpacked, at least 1
   */
  add(source: Buffer, start: number, end: number, crc: number, bytes: number): void {
    this.#reserve(HEADER.length + end - start + TRAILER_BYTES);
    const dataStart = this.#length + HEADER.copy(this.#input, this.#length);
    const dataEnd = dataStart + source.copy(this.#input, dataStart, start, end);
    this.#input.writeUInt32LE(crc, dataEnd);
    this.#length = this.#input.writeUInt32LE(bytes % 2 ** 32, dataEnd + 4);
    this.#members += 1;
    this.#bytes += bytes;
  }

  /**
   * Unpacks everything, one after the other, and starts anew.
   *
   * @returns undefined when an entry is not what its directory says; which one, and why, shows when each is unpacked on its own
   */
  unpack(): Buffer | undefined {
    const input = this.#input.subarray(0, this.#length);
    const bytes = this.#bytes;
    const isPlain = this.#hasNoOtherMembers(input);
    this.#length = 0;
    this.#members = 0;
    this.#bytes = 0;
    if (!isPlain) return undefined;
    try {
      // One byte more shows data that is longer than declared.
      const content = gunzipSync(input, { maxOutputLength: bytes + 1, chunkSize: Math.max(bytes + 1, 64) });
      return content.length === bytes ? content : undefined;
    } catch {
      return undefined;
    }
  }

  /**
   * Data that holds the start of a member may end its own early and begin another, and so pass for what it is not. Without one, members
   * begin at our headers only. Each ends with the trailer of one entry and the length that stands there, so one that swallowed others
   * would make all together too short.
   */
  #hasNoOtherMembers(input: Buffer): boolean {
    let found = 0;
    for (let at = input.indexOf(MEMBER_START); at !== -1; at = input.indexOf(MEMBER_START, at + 1)) found += 1;
    return found === this.#members;
  }

  #reserve(more: number): void {
    if (this.#length + more <= this.#input.length) return;
    const longer = Buffer.allocUnsafeSlow(2 * (this.#length + more));
    this.#input.copy(longer, 0, 0, this.#length);
    this.#input = longer;
  }
}
