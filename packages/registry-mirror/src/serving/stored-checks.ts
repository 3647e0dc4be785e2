import { withDeadline } from "../clock.ts";
import type { Clock } from "../clock.ts";
import type { Digest } from "../reference/grammar.ts";
import { SingleFlight } from "../single-flight.ts";
import type { OpenedBlob } from "../storage/disk.ts";
import { checkStored } from "./stored-body.ts";

/** The stored blobs, as far as their bytes are checked. */
export interface CheckedBlobs {
  openBlob(digest: Digest, options: { readonly isUse: boolean }): Promise<OpenedBlob | undefined>;
  discardDamaged(digest: Digest): Promise<void>;
}

/**
 * Checks stored blobs of which somebody wants a part: a part cannot be checked by itself, so everything is read, once for all who wait. A check
 * goes on when they have left, since the next one would have to begin anew.
 */
export class StoredChecks {
  readonly #blobs: CheckedBlobs;
  readonly #clock: Clock;
  readonly #running = new SingleFlight<boolean>();

  constructor(blobs: CheckedBlobs, clock: Clock) {
    this.#blobs = blobs;
    this.#clock = clock;
  }

  /**
   * Tells whether the bytes are right; what is damaged is removed.
   *
   * @param late - makes the error of one who has waited for {@link maxWaitMs}
   */
  isRight(digest: Digest, late: () => Error, signal: AbortSignal): Promise<boolean> {
    const { result } = this.#running.run(digest, () => this.#check(digest));
    result.catch(() => {});
    return withDeadline(this.#clock, maxWaitMs, late, () => result, signal);
  }

  async #check(digest: Digest): Promise<boolean> {
    const opened = await this.#blobs.openBlob(digest, { isUse: false });
    if (opened === undefined) return false;
    let state: Awaited<ReturnType<typeof checkStored>>;
    try {
      state = opened.isVerified ? "readable" : await checkStored(digest, opened);
    } finally {
      await opened.handle.close();
    }
    if (state === "damaged") await this.#blobs.discardDamaged(digest);
    return state === "readable";
  }
}

/** Of the 30 seconds that a client waits at most. */
const maxWaitMs = 20_000;
