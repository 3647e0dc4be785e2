import { BLOCK_BYTES, MAX_OCTAL_11, MAX_OCTAL_7, putHeader, ZERO } from "./header.ts";

const NAME_BYTES = 100;
const EMPTY = Buffer.alloc(0);
const NOTHING = { name: EMPTY, mode: 0, uid: 0, gid: 0, bytes: 0, mtime: 0, linkTarget: EMPTY };

/** What the header of a file holds besides its name; times in whole seconds. */
export interface FileNumbers {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly bytes: number;
  readonly mtime: number;
}

/**
 * The header of a file, which becomes that of one file after the other: of tens of thousands, little more than name and length
 * changes from one to the next.
 */
export class ReusedHeader {
  /** Of the file that was set last. */
  readonly block: Buffer = Buffer.alloc(BLOCK_BYTES);
  #nameLength = 0;
  #mode = 0;
  #uid = 0;
  #gid = 0;
  #mtime = 0;
  /** Of all bytes but those of the name. */
  #sum: number;

  constructor() {
    putHeader(this.block, { ...NOTHING, type: "file" });
    this.#sum = Number.parseInt(this.block.toString("latin1", SUM_PLACE, SUM_PLACE + SUM_DIGITS), 8);
  }

  /**
   * Makes it that of another file, whose name is a part of `names`.
   *
   * @returns false when the header of this file does not fit into one block
   */
  set(names: Uint8Array, nameStart: number, nameLength: number, numbers: FileNumbers): boolean {
    if (nameLength > NAME_BYTES || !this.#setNumbers(numbers)) return false;
    const nameSum = this.#setName(names, nameStart, nameLength);
    putOctal(this.block, SUM_PLACE, SUM_DIGITS, this.#sum + nameSum);
    return nameSum >= 0;
  }

  /** @returns the sum of its bytes; less than nothing when it is not ASCII */
  #setName(names: Uint8Array, start: number, length: number): number {
    const { block } = this;
    let sum = 0;
    let all = 0;
    for (let at = 0; at < length; at += 1) {
      const byte = names[start + at] ?? 0;
      block[at] = byte;
      sum += byte;
      all |= byte;
    }
    for (let at = length; at < this.#nameLength; at += 1) block[at] = 0;
    this.#nameLength = length;
    return all < 0x80 ? sum : -1;
  }

  /** @returns whether there is room for all of them */
  #setNumbers({ mode, uid, gid, bytes, mtime }: FileNumbers): boolean {
    const isRoomy = uid <= MAX_OCTAL_7 && gid <= MAX_OCTAL_7 && bytes <= MAX_OCTAL_11;
    if (!isRoomy || mtime < 0 || mtime > MAX_OCTAL_11) return false;
    if (mode !== this.#mode) this.#setNumber(100, 7, mode);
    if (uid !== this.#uid) this.#setNumber(108, 7, uid);
    if (gid !== this.#gid) this.#setNumber(116, 7, gid);
    if (mtime !== this.#mtime) this.#setLong(136, mtime);
    this.#setLong(124, bytes);
    this.#mode = mode;
    this.#uid = uid;
    this.#gid = gid;
    this.#mtime = mtime;
    return true;
  }

  /** In eleven digits, of which ten are a number that the engine reckons with in a fraction of the time. */
  #setLong(start: number, value: number): void {
    const first = Math.floor(value / 8 ** 10);
    this.#setNumber(start, 1, first);
    this.#setNumber(start + 1, 10, value - first * 8 ** 10);
  }

  #setNumber(start: number, digits: number, value: number): void {
    this.#sum += putOctal(this.block, start, digits, value);
  }
}

/** @param value - of ten digits at most @returns by how much the sum of the bytes grows */
function putOctal(block: Buffer, start: number, digits: number, value: number): number {
  let left = value | 0;
  let change = 0;
  for (let at = start + digits - 1; at >= start; at -= 1) {
    const digit = ZERO + (left & 7);
    change += digit - (block[at] ?? 0);
    block[at] = digit;
    left >>= 3;
  }
  return change;
}

const SUM_PLACE = 148;
const SUM_DIGITS = 6;
