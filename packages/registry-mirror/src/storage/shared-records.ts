import { canPutConditionally } from "@fleetfoot/cache-backend";
import type { CacheStore, PutBody } from "@fleetfoot/cache-backend";
import { isDigest } from "../reference/grammar.ts";
import { Slots } from "../slots.ts";
import { readEra } from "./era.ts";
import type { Era } from "./era.ts";
import { maxRecordBytes, withdrawalName } from "./layout.ts";
import type { ImagePlace } from "./layout.ts";
import { placeOfRecord } from "./purge-store.ts";
import type { RecordPlace } from "./purge-store.ts";
import { readTag } from "./record-texts.ts";
import { bodyOfBytes, readWhole } from "./whole-object.ts";
import type { WholeObject } from "./whole-object.ts";

export interface SharedRecordsOptions {
  readonly store: CacheStore;
  /** Does something in the background. */
  readonly run: (action: () => Promise<void>) => void;
  /** Ends everything. */
  readonly signal: AbortSignal;
}

/**
 * Writes what is known of names to a store that several mirrors have in common. What a mirror learns of a digest is the same for all; a
 * tag's record only ever gives way to one that was checked later.
 */
export class SharedRecords {
  readonly #options: SharedRecordsOptions;
  readonly #latest = new Map<string, string>();
  readonly #writing = new Set<string>();
  readonly #slots = new Slots(atOnce);

  constructor(options: SharedRecordsOptions) {
    this.#options = options;
  }

  /** Writes a record, in the background, some at the same time; of what is saved while another one of it is written, the last. */
  save(name: string, text: string): void {
    this.#latest.set(name, text);
    if (this.#writing.has(name)) return;
    this.#writing.add(name);
    this.#options.run(async () => {
      const giveBack = await this.#slots.take();
      try {
        this.#options.signal.throwIfAborted();
        for (let next = this.#take(name); next !== undefined; next = this.#take(name)) await this.#write(name, next);
      } finally {
        this.#writing.delete(name);
        giveBack();
      }
    });
  }

  /**
   * Writes down that access to a name was withdrawn.
   *
   * @returns the era of a later withdrawal that is written there already; then nothing is written
   */
  async withdraw(place: ImagePlace, era: Era): Promise<Era | undefined> {
    const { signal, store } = this.#options;
    const name = withdrawalName(place);
    const body = bodyOfBytes(new TextEncoder().encode(era));
    for (let triesLeft = maxTries; triesLeft > 0; triesLeft -= 1) {
      const current = await readWhole(store, name, maxRecordBytes, signal);
      const known = readEra(current?.content?.toString() ?? "");
      if (known === era) return undefined;
      if (known !== undefined && known > era) return known;
      if (await this.#putOver(name, body, current)) return undefined;
    }
    throw new Error("others write that access was withdrawn again and again");
  }

  /** Does not write what is still to be written and fits. */
  forget(fits: (record: RecordPlace) => boolean): void {
    for (const name of this.#latest.keys()) {
      const place = placeOfRecord(name);
      if (place !== undefined && fits(place)) this.#latest.delete(name);
    }
  }

  #take(name: string): string | undefined {
    const text = this.#latest.get(name);
    this.#latest.delete(name);
    return text;
  }

  async #write(name: string, text: string): Promise<void> {
    const { signal, store } = this.#options;
    const body = bodyOfBytes(new TextEncoder().encode(text));
    if (isDigest(placeOfRecord(name)?.reference ?? "")) return void (await store.put(name, body, { signal }));
    const checkedAtMs = readTag(text)?.checkedAtMs ?? 0;
    for (let triesLeft = maxTries; triesLeft > 0; triesLeft -= 1) {
      const current = await readWhole(store, name, maxRecordBytes, signal);
      const known = current?.content === undefined ? undefined : readTag(current.content.toString());
      if (known !== undefined && known.checkedAtMs > checkedAtMs) return;
      if (await this.#putOver(name, body, current)) return;
    }
    throw new Error("others write the record of a tag again and again");
  }

  /** @returns whether nobody has written meanwhile */
  async #putOver(name: string, body: PutBody, current: WholeObject | undefined): Promise<boolean> {
    const { signal, store } = this.#options;
    if (!canPutConditionally(store)) {
      await store.put(name, body, { signal });
      return true;
    }
    const condition = current === undefined ? ({ absent: true } as const) : { version: current.facts.version };
    return (await store.putIf(name, body, condition, { signal })) !== undefined;
  }
}

/** Each one that fails means that another mirror has written. */
const maxTries = 20;
/** What is known of a name may all change at once: thousands of records. */
const atOnce = 16;
