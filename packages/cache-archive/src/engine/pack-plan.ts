import type { ArchiveEntry } from "../types.ts";
import { BlockTable } from "./block-table.ts";
import { JobControl, makeGrowingControl } from "./control.ts";
import type { SharedControl } from "./control.ts";
import { EntryTable } from "./entry-table.ts";
import type { SharedEntries } from "./entry-table.ts";
import { foundFacts, FoundTable } from "./found-table.ts";
import { makeGrowing, makeRoom } from "./number-table.ts";
import type { Look } from "./source.ts";
import { UnitCutter, UnitList } from "./units.ts";
import type { UnitRules } from "./units.ts";

/** What participants need to pack the units that were found so far, and those that come. */
export interface SharedPlan {
  readonly entries: SharedEntries;
  readonly units: SharedArrayBuffer;
  /** One row for each unit. */
  readonly blocks: SharedArrayBuffer;
  /** One word for each unit, for what participants have to agree on. */
  readonly choices: SharedArrayBuffer;
  /** Where it is kept how the entries were found, if it is to be kept. */
  readonly found: SharedArrayBuffer | undefined;
}

/** What is kept of the entries that were packed. */
export type PackTables = Pick<SharedPlan, "entries" | "found">;

/** The entries and units of one archive; whoever packs may begin while they are still being found. */
export class PackPlan {
  readonly shared: SharedPlan;
  readonly control: SharedControl;
  readonly #entries: EntryTable;
  readonly #units: UnitList;
  readonly #blocks: BlockTable;
  readonly #found: FoundTable | undefined;
  readonly #cutter: UnitCutter;
  readonly #own: JobControl;
  #bytes = 0;
  #isWhole = false;

  /** @param tables - as of {@link EntryTable.share} and {@link FoundTable.share}; empty */
  constructor({ entries, found }: PackTables, rules: UnitRules) {
    const choices = makeGrowing(0);
    this.shared = { entries, units: UnitList.share(), blocks: BlockTable.shareGrowing(), choices, found };
    this.control = makeGrowingControl();
    this.#entries = new EntryTable(entries);
    this.#units = new UnitList(this.shared.units);
    this.#blocks = new BlockTable(this.shared.blocks);
    this.#found = found === undefined ? undefined : new FoundTable(found);
    this.#own = new JobControl(this.control);
    this.#cutter = new UnitCutter(rules, (unit) => {
      this.#units.push(unit);
      this.#blocks.push();
      makeRoom(choices, this.#units.length * Int32Array.BYTES_PER_ELEMENT);
    });
  }

  /** How many were found so far. */
  get entries(): number {
    return this.#entries.count;
  }

  /** Of all files that were found so far. */
  get bytes(): number {
    return this.#bytes;
  }

  get isWhole(): boolean {
    return this.#isWhole;
  }

  /** Takes what comes next in the order of the archive. */
  take(batch: readonly ArchiveEntry[]): void {
    for (const entry of batch) {
      this.#entries.push(entry);
      this.#found?.push();
      this.#cutter.take(entry.bytes);
      this.#bytes += entry.bytes;
    }
    this.#own.publish(this.#units.length, false);
  }

  /** That was all. */
  end(): void {
    this.#cutter.end();
    this.#isWhole = true;
    this.#own.publish(this.#units.length, true);
  }
}

/** What one participant sees of a plan. */
export class PlanView {
  readonly entries: EntryTable;
  readonly units: UnitList;
  readonly blocks: BlockTable;
  /** How entries are found right before they are packed, if it is to be kept. */
  readonly found: FoundTable | undefined;
  readonly #choices: SharedArrayBuffer;

  constructor({ entries, units, blocks, choices, found }: SharedPlan) {
    this.found = found === undefined ? undefined : new FoundTable(found);
    this.#choices = choices;
    this.entries = new EntryTable(entries);
    this.units = new UnitList(units);
    this.blocks = new BlockTable(blocks);
  }

  /** To be called for each unit that is claimed: it may have been found only now. */
  refresh(): void {
    this.entries.refresh();
    this.units.refresh();
    this.blocks.refresh();
    this.found?.refresh();
  }

  /** Whom to tell how an entry is, if anybody wants to know. */
  look(index: number): Look | undefined {
    const { found } = this;
    return found === undefined ? undefined : (stats) => found.set(index, foundFacts(stats, 0));
  }

  /** The word of a unit, which is 0 at first. */
  choice(unit: number): Int32Array {
    return new Int32Array(this.#choices, unit * Int32Array.BYTES_PER_ELEMENT, 1);
  }
}
