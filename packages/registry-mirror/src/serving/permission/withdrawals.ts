import { withDeadline } from "../../clock.ts";
import type { Clock } from "../../clock.ts";
import type { UpstreamError } from "../../errors.ts";
import { ExpiringMap } from "../../expiring-map.ts";
import type { Logger } from "../../logger.ts";
import { canBeWithdrawn, isWithdrawal } from "../../routing/opening.ts";
import type { UpstreamImage } from "../../routing/select.ts";
import { SingleFlight } from "../../single-flight.ts";
import { imageKey } from "../../storage/layout.ts";
import type { Records } from "../../storage/records.ts";
import type { SharedStore } from "../../storage/shared-store.ts";

export interface WithdrawalsOptions {
  readonly records: Pick<Records, "eraOf" | "remembered" | "withdraw" | "withdrawUnseen">;
  /** Where other mirrors tell of theirs; undefined for a mirror that stands alone. */
  readonly shared: Pick<SharedStore, "adoptWithdrawal" | "isOpenToOthers"> | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Told of every refusal that says that access to a name was withdrawn, also when nothing of it was open. */
  readonly onRefused: (image: UpstreamImage) => void;
}

/**
 * What an upstream opened once is not open any more when it has withdrawn access to the name. That is so in this process at once, and no
 * client learns of it before it is written down, so that the next process knows it, too.
 */
export class Withdrawals {
  readonly #options: WithdrawalsOptions;
  readonly #looks = new SingleFlight<void>();
  readonly #looked: ExpiringMap<true>;
  /** By name: what others have of it is being found out, and withdrawn. */
  readonly #unseen = new Map<string, Promise<void>>();
  readonly #searched: ExpiringMap<true>;
  /** What clients have waited for in vain, and do not wait for again. */
  readonly #late = new WeakSet<Promise<unknown>>();

  constructor(options: WithdrawalsOptions) {
    this.#options = options;
    this.#looked = new ExpiringMap(10_000, () => options.clock.now());
    this.#searched = new ExpiringMap(10_000, () => options.clock.now());
  }

  /** Takes note of an upstream's failure, which may mean that access was withdrawn. */
  noteFailure(image: UpstreamImage, { code }: UpstreamError): void {
    if (!canBeWithdrawn(image) || !isWithdrawal(image, code)) return;
    const { onRefused, records, shared } = this.#options;
    if (!records.withdraw(image) && shared !== undefined) this.#withdrawUnseen(image, shared);
    onRefused(image);
  }

  /** Others may have what this mirror has nothing of, or have been let in since this one was refused before. */
  #withdrawUnseen(image: UpstreamImage, shared: NonNullable<WithdrawalsOptions["shared"]>): void {
    const { records } = this.#options;
    const key = imageKey(image);
    if (this.#unseen.has(key) || this.#searched.get(key) === true) return;
    const search = async (): Promise<void> => {
      let isCertain = false;
      try {
        if (!(await shared.adoptWithdrawal(image))) return;
        const era = records.eraOf(image);
        const isOpen = await shared.isOpenToOthers(image, era);
        isCertain = isOpen !== undefined;
        if (isOpen !== true) return;
        records.withdrawUnseen(image, era);
        await records.remembered(image);
      } finally {
        this.#searched.set(key, true, isCertain ? lookEveryMs : lookAgainMs);
        this.#unseen.delete(key);
      }
    };
    const searched = search();
    this.#unseen.set(key, searched);
    // Clients that wait for it hear of a failure; there may be none.
    searched.catch(() => {});
  }

  /** Asks other mirrors once a minute what they know of withdrawals of names; undefined when there is nothing to wait for. */
  learn(images: readonly UpstreamImage[]): Promise<unknown> | undefined {
    const { shared } = this.#options;
    if (shared === undefined) return undefined;
    const looks = images.flatMap((image) => this.#look(image, shared) ?? []);
    return looks.length === 0 ? undefined : Promise.all(looks);
  }

  #look(image: UpstreamImage, shared: Pick<SharedStore, "adoptWithdrawal">): Promise<void> | undefined {
    if (!canBeWithdrawn(image)) return undefined;
    const key = imageKey(image);
    if (this.#looked.get(key) === true) return undefined;
    const { result } = this.#looks.run(key, async () => {
      const adopt = async (): Promise<void> => {
        const isCertain = await shared.adoptWithdrawal(image);
        this.#looked.set(key, true, isCertain ? lookEveryMs : lookAgainMs);
      };
      // What comes later is taken over all the same, and is not waited for again.
      if (!(await this.#inTime(adopt()))) this.#looked.set(key, true, lookEveryMs);
    });
    return result;
  }

  /** Waits until what was withdrawn of names is written down, or cannot be; undefined when there is nothing to wait for. */
  written(images: readonly UpstreamImage[]): Promise<unknown> | undefined {
    const { logger, records } = this.#options;
    const wait = async (image: UpstreamImage, writing: Promise<unknown>): Promise<void> => {
      if ((await this.#inTime(writing)) || this.#late.has(writing)) return;
      this.#late.add(writing);
      const fields = { upstream: image.upstream.id, name: image.name };
      logger.warn("that access was withdrawn is not written down yet; it takes too long", fields);
    };
    const waits = images.flatMap((image) => {
      const unseen = this.#unseen.size === 0 ? undefined : this.#unseen.get(imageKey(image));
      return [unseen, records.remembered(image)].flatMap((writing) =>
        writing === undefined || this.#late.has(writing) ? [] : [wait(image, writing)],
      );
    });
    return waits.length === 0 ? undefined : Promise.all(waits);
  }

  /** A disk or a store that hangs must not hang clients. */
  async #inTime(action: Promise<unknown>): Promise<boolean> {
    const late = new Error("it takes too long");
    try {
      await withDeadline(
        this.#options.clock,
        mostWaitMs,
        () => late,
        () => action,
      );
      return true;
    } catch (error) {
      if (error === late) return false;
      throw error;
    }
  }
}

/** Within which time a withdrawal is known that another mirror has noticed. */
const lookEveryMs = 60_000;
/** When the store could not be asked. */
const lookAgainMs = 5000;
const mostWaitMs = 2000;
