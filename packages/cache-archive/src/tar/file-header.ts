import { COLUMN, COLUMNS } from "../restore/restore-columns.ts";
import type { RestoreTable } from "../restore/restore-table.ts";
import { BLOCK_BYTES } from "./header.ts";
import { ReusedHeader } from "./reused-header.ts";

const WORD_BYTES = Int32Array.BYTES_PER_ELEMENT;
const WORDS = BLOCK_BYTES / WORD_BYTES;

/** The headers of files as they have to be in an archive. */
export class FileHeader {
  readonly #header = new ReusedHeader();
  readonly #words = wordsOf(this.#header.block);
  readonly #numbers = { mode: 0, uid: 0, gid: 0, bytes: 0, mtime: 0 };

  /**
   * Whether exactly the header of this file lies at a place.
   *
   * @param words - what is there, four bytes each
   * @param place - in bytes, where a word begins
   * @returns also false when it does not fit into one block
   */
  isAt(words: Int32Array, place: number, { names, numbers }: RestoreTable, index: number): boolean {
    const row = index * COLUMNS;
    const facts = this.#numbers;
    facts.mode = numbers[row + COLUMN.mode] ?? 0;
    facts.uid = numbers[row + COLUMN.uid] ?? 0;
    facts.gid = numbers[row + COLUMN.gid] ?? 0;
    facts.bytes = numbers[row + COLUMN.bytes] ?? 0;
    facts.mtime = (numbers[row + COLUMN.mtimeMs] ?? 0) / 1000;
    const nameStart = numbers[row + COLUMN.nameStart] ?? 0;
    const isShort = this.#header.set(names, nameStart, numbers[row + COLUMN.nameLength] ?? 0, facts);
    return isShort && isSame(this.#words, words, place / WORD_BYTES);
  }
}

/** Bytes as {@link FileHeader.isAt} reads them, up to the last whole word. */
export function wordsOf(bytes: Buffer): Int32Array {
  // Short ones may begin anywhere in memory that they share.
  const { buffer, byteOffset } = bytes.byteOffset % WORD_BYTES === 0 ? bytes : new Uint8Array(bytes);
  return new Int32Array(buffer, byteOffset, Math.floor(bytes.length / WORD_BYTES));
}

/** A call that compares them looks at its arguments for longer than at them. */
function isSame(words: Int32Array, others: Int32Array, start: number): boolean {
  for (let at = 0; at < WORDS; at += 1) if (words[at] !== others[start + at]) return false;
  return true;
}
