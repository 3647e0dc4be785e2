import type { Slots } from "../slots.ts";

/** Lets the reader of a list hold much of it when it is his turn. A little of it, which is all of most lists, anybody may hold at any time. */
export class ListTurn {
  readonly #slots: Slots;
  #giveBack: (() => void) | undefined;
  #isWaitedFor = false;

  constructor(slots: Slots) {
    this.#slots = slots;
  }

  get isWaitedFor(): boolean {
    return this.#isWaitedFor;
  }

  /** Waits for the turn, once there is more than a little. */
  async goOnTo(bytes: number, signal: AbortSignal): Promise<void> {
    if (bytes <= shortBytes || this.#giveBack !== undefined) return;
    this.#isWaitedFor = true;
    try {
      this.#giveBack = await this.#slots.take(signal);
    } finally {
      this.#isWaitedFor = false;
    }
  }

  /** Lets the next one go on. */
  end(): void {
    this.#giveBack?.();
  }
}

/** Some thousand tags. */
const shortBytes = 64 * 1024;
