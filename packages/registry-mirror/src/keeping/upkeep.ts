import type { Clock } from "../clock.ts";
import type { Logger } from "../logger.ts";
import type { Disk } from "../storage/disk.ts";
import type { Fills } from "../storage/fill/fills.ts";
import type { Records } from "../storage/records.ts";
import { scrub } from "../storage/scrub.ts";

export interface UpkeepOptions {
  readonly disk: Disk;
  readonly records: Records;
  readonly fills: Fills;
  readonly clock: Clock;
  readonly logger: Logger;
  /** What was not used for so long is removed; undefined: never. */
  readonly maxUnusedMs: number | undefined;
}

/** Keeps the directory small and right. */
export class Upkeep {
  readonly #options: UpkeepOptions;

  constructor(options: UpkeepOptions) {
    this.#options = options;
  }

  /** Does everything again and again, until the signal is aborted. */
  async maintain(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#options;
    const again = async (everyMs: number, action: () => Promise<void>): Promise<void> => {
      while (!signal.aborted) {
        try {
          await clock.sleep(everyMs, signal);
          await action();
        } catch (error) {
          if (signal.aborted) return;
          logger.error("the directory could not be looked after", { error });
        }
      }
    };
    await Promise.all([
      again(tidyEveryMs, () => this.tidy()),
      again(dayMs, () => this.scrub(signal)),
      again(probeEveryMs, () => this.#probe()),
    ]);
  }

  /** Reads everything that is stored once, and removes what is damaged. */
  scrub(signal: AbortSignal): Promise<void> {
    return scrub(this.#options.disk, this.#options.clock, signal);
  }

  async #probe(): Promise<void> {
    const { disk, records } = this.#options;
    await disk.probe();
    // Until it is written, the next process knows nothing of it.
    if (disk.problem === undefined) records.retryWithdrawals();
  }

  /** Removes what is too old, or belongs to nothing. */
  async tidy(): Promise<void> {
    const { clock, disk, fills, maxUnusedMs, records } = this.#options;
    if (maxUnusedMs !== undefined) await disk.removeUnusedSince(clock.now() - maxUnusedMs);
    for (const { digest, lastUsedAtMs } of disk.blobs()) {
      if (lastUsedAtMs < clock.now() - dayMs && !records.isReferredTo(digest)) await disk.remove(digest);
    }
    await disk.tidy();
    await fills.removeOldPartials();
    await records.flush();
  }
}

const dayMs = 24 * 60 * 60_000;
/** What operators see of the directory is no older. */
const probeEveryMs = 10_000;
const tidyEveryMs = 10 * 60_000;
