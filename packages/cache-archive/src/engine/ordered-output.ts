import { writeSync } from "node:fs";

import type { JobControl } from "./control.ts";
import { releaseMemory } from "./release-memory.ts";

/** Finished bytes that one participant may hold back until their turn comes. */
const MAX_PENDING_BYTES = 6 * 1024 * 1024;

/** What a unit gives out. */
export interface UnitOutput {
  readonly unit: number;
  readonly bytes: Buffer;
  /**
   * Told the place of `bytes` in the output, when the places of all earlier units are known.
   *
   * @returns more bytes, which only now can be known
   */
  readonly place: (offset: number) => Buffer | undefined;
}

/**
 * Writes what the units of one participant give out to the file that all participants share, in the order of the units.
 *
 * A unit takes its place in the file when its turn comes and writes after that, so that writes overlap. Nobody waits for a
 * unit with a higher number, so the one with the lowest can always go on.
 */
export class OrderedOutput {
  readonly #control: JobControl;
  readonly #descriptor: number;
  #pending: UnitOutput[] = [];
  #pendingBytes = 0;

  constructor(control: JobControl, descriptor: number) {
    this.#control = control;
    this.#descriptor = descriptor;
  }

  /** @param isReused - whether the caller will use the memory again, so that what has to wait is copied; else it is gone afterwards */
  give(output: UnitOutput, isReused: boolean): void {
    this.#writeReady();
    if (this.#pending.length === 0 && this.#control.isTurnOf(output.unit)) {
      this.#write(output);
      if (!isReused) releaseMemory(output.bytes);
      return;
    }
    this.#pending.push(isReused ? { ...output, bytes: Buffer.from(output.bytes) } : output);
    this.#pendingBytes += output.bytes.length;
    while (this.#pendingBytes > MAX_PENDING_BYTES && this.#waitForFirst());
  }

  /** Writes all that was given. Does nothing more after an abort. */
  settle(): void {
    while (this.#pending.length > 0 && this.#waitForFirst());
  }

  #waitForFirst(): boolean {
    const [first] = this.#pending;
    if (first === undefined || !this.#control.waitForTurnOf(first.unit)) return false;
    this.#writeReady();
    return true;
  }

  #writeReady(): void {
    for (let first = this.#pending[0]; first !== undefined; first = this.#pending[0]) {
      if (!this.#control.isTurnOf(first.unit)) return;
      this.#pending.shift();
      this.#pendingBytes -= first.bytes.length;
      this.#write(first);
      releaseMemory(first.bytes);
    }
  }

  #write({ bytes, place }: UnitOutput): void {
    const offset = this.#control.length;
    const more = place(offset);
    this.#control.commit(bytes.length + (more?.length ?? 0));
    writeAll(this.#descriptor, bytes, offset);
    if (more !== undefined) writeAll(this.#descriptor, more, offset + bytes.length);
    this.#control.finish();
  }
}

/** Writes all bytes at a place; a single call may take fewer. */
export function writeAll(descriptor: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length;) {
    done += writeSync(descriptor, bytes, done, bytes.length - done, position + done);
  }
}
