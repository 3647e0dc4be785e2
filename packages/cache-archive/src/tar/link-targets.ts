import { COLUMN } from "../restore/restore-columns.ts";
import type { RestoreTable } from "../restore/restore-table.ts";

/** What one holds at most: the field of the header has a hundred bytes. Longer ones are read again. */
const TARGET_BYTES = 100;
const ROW_BYTES = 1 + TARGET_BYTES;
/** What all of them together may come to. */
const MAX_LINKS = 20_000;

/** What {@link LinkTargets} needs in another thread. */
export interface SharedLinkTargets {
  /** Entries that are links, in the order of the archive. */
  readonly links: SharedArrayBuffer;
  readonly targets: SharedArrayBuffer;
}

/**
 * The targets of links, kept from when their frames were unpacked for the files in them: links are made after all files, and unpacking a frame
 * again for one link takes as long as restoring a hundred files.
 */
export class LinkTargets {
  readonly #links: Int32Array;
  /** For each link one more than the length of its target, and the target; 0 as long as it is not known. */
  readonly #targets: Buffer;

  static share(links: readonly number[]): SharedLinkTargets {
    const shared = new SharedArrayBuffer(links.length * Int32Array.BYTES_PER_ELEMENT);
    new Int32Array(shared).set(links);
    return { links: shared, targets: new SharedArrayBuffer(links.length > MAX_LINKS ? 0 : links.length * ROW_BYTES) };
  }

  constructor({ links, targets }: SharedLinkTargets) {
    this.#links = new Int32Array(links);
    this.#targets = Buffer.from(targets);
  }

  /** The target of a link, if it is known. */
  get(link: number): Buffer | undefined {
    const nth = this.#find((other) => other >= link);
    const row = nth * ROW_BYTES;
    const length = this.#links[nth] === link ? (this.#targets[row] ?? 0) : 0;
    return length === 0 ? undefined : this.#targets.subarray(row + 1, row + length);
  }

  /** Asks for the targets of all links in a frame. */
  keep(frame: number, table: RestoreTable, targetOf: (link: number) => Buffer): void {
    if (this.#targets.length === 0) return;
    const frameOf = (link: number): number => table.number(link, COLUMN.frame);
    for (let nth = this.#find((link) => frameOf(link) >= frame); nth < this.#links.length; nth += 1) {
      const link = this.#links[nth] ?? 0;
      if (frameOf(link) !== frame) return;
      const target = targetOf(link);
      if (target.length > TARGET_BYTES) continue;
      target.copy(this.#targets, nth * ROW_BYTES + 1);
      this.#targets[nth * ROW_BYTES] = 1 + target.length;
    }
  }

  /** @param isBehind - false for some links, then true for all that follow @returns the number of the first of these */
  #find(isBehind: (link: number) => boolean): number {
    let low = 0;
    for (let high = this.#links.length; low < high;) {
      const middle = (low + high) >>> 1;
      if (isBehind(this.#links[middle] ?? 0)) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
