import { canPutConditionally } from "@fleetfoot/cache-backend";
import type { CacheStore, PutBody } from "@fleetfoot/cache-backend";
import { isDigest } from "../reference/grammar.ts";
import { Slots } from "../slots.ts";
import { isOfEarlierEra, readEra } from "./era.ts";
import type { Era } from "./era.ts";
import { maxRecordBytes, openingName, withdrawalName } from "./layout.ts";
import type { ImagePlace } from "./layout.ts";
import { placeOfRecord } from "./purge-store.ts";
import type { RecordPlace } from "./purge-store.ts";
import { readDigest, readTag } from "./record-texts.ts";
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
 * Writes what is known of names to a store that several mirrors have in common. A record never gives way to one from before a withdrawal of
 * access that it was learnt after; otherwise a digest's record gives way to any, since what mirrors learn of one is the same for all, and a
 * tag's to one that was checked later.
 */
export class SharedRecords {
  readonly #options: SharedRecordsOptions;
  readonly #latest = new Map<string, string>();
  readonly #writing = new Set<string>();
  /** What others were told of names that were opened again. */
  readonly #opened = new Map<string, Era>();
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
  withdraw(place: ImagePlace, era: Era): Promise<Era | undefined> {
    return this.#writeEra(withdrawalName(place), era);
  }

  /** Writes down, once, that something of a name was opened in an era, unless something was in a later one. */
  async open(place: ImagePlace, era: Era): Promise<void> {
    const name = openingName(place);
    if (this.#opened.get(name) === era) return;
    this.#opened.set(name, era);
    try {
      await this.#writeEra(name, era);
    } catch (error) {
      if (this.#opened.get(name) === era) this.#opened.delete(name);
      throw error;
    }
  }

  /** Does not write what is still to be written and fits. */
  forget(fits: (record: RecordPlace) => boolean): void {
    for (const name of this.#latest.keys()) {
      const place = placeOfRecord(name);
      if (place !== undefined && fits(place)) this.#latest.delete(name);
    }
  }

  /** @returns a later era that is written there already; then nothing is written */
  async #writeEra(name: string, era: Era): Promise<Era | undefined> {
    const { signal, store } = this.#options;
    const body = bodyOfBytes(new TextEncoder().encode(era));
    for (let triesLeft = maxTries; triesLeft > 0; triesLeft -= 1) {
      const current = await readWhole(store, name, maxRecordBytes, signal);
      const known = readEra(current?.content?.toString() ?? "");
      if (known === era) return undefined;
      if (known !== undefined && known > era) return known;
      if (await this.#putOver(name, body, current)) return undefined;
    }
    throw new Error("others write that access was withdrawn, or given, again and again");
  }

  #take(name: string): string | undefined {
    const text = this.#latest.get(name);
    this.#latest.delete(name);
    return text;
  }

  async #write(name: string, text: string): Promise<void> {
    const { signal, store } = this.#options;
    const body = bodyOfBytes(new TextEncoder().encode(text));
    const ofDigest = isDigest(placeOfRecord(name)?.reference ?? "");
    // Most digests are new, and need no look at what is there.
    if (ofDigest && canPutConditionally(store) && (await this.#putOver(name, body, undefined))) return;
    for (let triesLeft = maxTries; triesLeft > 0; triesLeft -= 1) {
      const current = await readWhole(store, name, maxRecordBytes, signal);
      const known = current?.content?.toString();
      if (
        known !== undefined &&
        (known === text || !(ofDigest ? mayReplaceDigest(text, known) : mayReplaceTag(text, known)))
      )
        return;
      if (await this.#putOver(name, body, current)) return;
    }
    throw new Error("others write the same record again and again");
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

/** Whether the record of a digest may take the place of another one. */
function mayReplaceDigest(text: string, known: string): boolean {
  return !isOfEarlierEra(readDigest(text), readDigest(known));
}

/** The same of a tag. */
function mayReplaceTag(text: string, known: string): boolean {
  const [one, other] = [readTag(text), readTag(known)];
  if (isOfEarlierEra(one, other)) return false;
  return isOfEarlierEra(other, one) || (other?.checkedAtMs ?? 0) <= (one?.checkedAtMs ?? 0);
}

/** Each one that fails means that another mirror has written. */
const maxTries = 20;
/** What is known of a name may all change at once: thousands of records. */
const atOnce = 16;
