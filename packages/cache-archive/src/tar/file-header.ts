import { COLUMN } from "../restore/restore-columns.ts";
import type { RestoreTable } from "../restore/restore-table.ts";
import { BLOCK_BYTES, MAX_OCTAL_11, MAX_OCTAL_7, octal, putHeader, ZERO } from "./header.ts";

const NAME_BYTES = 100;
const EMPTY = Buffer.alloc(0);
const NOTHING = { name: EMPTY, mode: 0, uid: 0, gid: 0, bytes: 0, mtime: 0, linkTarget: EMPTY };

/**
 * The header of a file, which becomes that of one file after the other. Tens of thousands are compared with what an archive has, and little more
 * than name and length changes from one to the next.
 */
export class FileHeader {
  readonly #block = Buffer.alloc(BLOCK_BYTES);
  #nameLength = 0;
  #mode = 0;
  #uid = 0;
  #gid = 0;
  #mtime = 0;
  /** Of all bytes but those of the name. */
  #sum: number;

  constructor() {
    putHeader(this.#block, { ...NOTHING, type: "file" });
    this.#sum = Number.parseInt(this.#block.toString("latin1", SUM_PLACE, SUM_PLACE + SUM_DIGITS), 8);
  }

  /**
   * Whether exactly the header of this file lies at a place.
   *
   * @returns also false when it does not fit into one block
   */
  isAt(bytes: Buffer, place: number, table: RestoreTable, index: number): boolean {
    const nameLength = table.number(index, COLUMN.nameLength);
    if (nameLength > NAME_BYTES || !this.#setNumbers(table, index)) return false;
    const nameSum = this.#setName(table.names, table.number(index, COLUMN.nameStart), nameLength);
    octal(this.#block, SUM_PLACE, SUM_DIGITS, this.#sum + nameSum);
    return nameSum >= 0 && this.#block.compare(bytes, place, place + BLOCK_BYTES) === 0;
  }

  /** @returns the sum of its bytes; less than nothing when it is not ASCII */
  #setName(names: Uint8Array, start: number, length: number): number {
    const block = this.#block;
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
  #setNumbers(table: RestoreTable, index: number): boolean {
    const mode = table.number(index, COLUMN.mode);
    const uid = table.number(index, COLUMN.uid);
    const gid = table.number(index, COLUMN.gid);
    const bytes = table.number(index, COLUMN.bytes);
    const mtime = table.number(index, COLUMN.mtimeMs) / 1000;
    const isRoomy = uid <= MAX_OCTAL_7 && gid <= MAX_OCTAL_7 && bytes <= MAX_OCTAL_11;
    if (!isRoomy || mtime < 0 || mtime > MAX_OCTAL_11) return false;
    if (mode !== this.#mode) this.#set(100, 7, mode);
    if (uid !== this.#uid) this.#set(108, 7, uid);
    if (gid !== this.#gid) this.#set(116, 7, gid);
    if (mtime !== this.#mtime) this.#set(136, 11, mtime);
    this.#set(124, 11, bytes);
    this.#mode = mode;
    this.#uid = uid;
    this.#gid = gid;
    this.#mtime = mtime;
    return true;
  }

  #set(start: number, digits: number, value: number): void {
    const block = this.#block;
    let left = value;
    let change = 0;
    for (let at = start + digits - 1; at >= start; at -= 1) {
      const digit = ZERO + (left % 8);
      change += digit - (block[at] ?? 0);
      block[at] = digit;
      left = Math.floor(left / 8);
    }
    this.#sum += change;
  }
}

const SUM_PLACE = 148;
const SUM_DIGITS = 6;
