import { lstatSync, readlinkSync } from "node:fs";

import type { ArchivedEntry, EntryMetadata } from "../archived-entry.ts";
import type { JobControl } from "../engine/control.ts";
import { JobAborted } from "../engine/job-aborted.ts";
import type { UnitRunner } from "../engine/unit-runner.ts";
import { toArchiveError } from "../errors.ts";
import { printablePath } from "../path-bytes.ts";
import { inTurns } from "../turn.ts";
import { finishFolder } from "./finish-folder.ts";
import { RestoreFolders } from "./folders.ts";
import { prepareJournal } from "./journal.ts";
import type { FolderFacts } from "./journal.ts";
import { placeTree } from "./place.ts";
import { RestoreTable } from "./restore-table.ts";
import type { SharedRestore } from "./restore-table.ts";
import { BLOCK, FINISH, FOLDERS, JOURNAL, LINKS, PLACE, restoreUnitAt, SHORT, STREAM } from "./units.ts";
import type { RestoreUnit } from "./units.ts";
import { writeNewLink } from "./write-file.ts";
import type { ModePolicy } from "./write-file.ts";

/** What the restore of every format needs in another thread. */
export interface SharedRestoreJob {
  readonly table: SharedRestore;
  /** Entries in the order in which units name them. */
  readonly order: SharedArrayBuffer;
  readonly units: SharedArrayBuffer;
  /** Two words for each unit, for the blocks of the file that begins with it. */
  readonly counters: SharedArrayBuffer;
  readonly root: string;
  readonly staging: string;
  readonly policy: ModePolicy;
}

/** Unpacks the content of one format. */
export interface ContentUnpacker {
  /** A run of short files. */
  restoreShort(entries: Int32Array): void;
  restoreBlock(unit: number, range: RestoreUnit): void;
  restoreStream(entry: number): Promise<void>;
  linkTarget(entry: number): Buffer;
}

/** What an unpacker works with. */
export interface UnpackContext {
  readonly job: SharedRestoreJob;
  readonly control: JobControl;
  readonly table: RestoreTable;
  readonly folders: RestoreFolders;
}

/** Does the units of a restore; only the content differs between formats. */
export class RestoreRunner implements UnitRunner {
  readonly #job: SharedRestoreJob;
  readonly #control: JobControl;
  readonly #table: RestoreTable;
  readonly #order: Int32Array;
  readonly #units: Float64Array;
  readonly #folders: RestoreFolders;
  readonly #unpacker: ContentUnpacker;

  constructor(job: SharedRestoreJob, control: JobControl, makeUnpacker: (context: UnpackContext) => ContentUnpacker) {
    this.#job = job;
    this.#control = control;
    this.#table = new RestoreTable(job.table);
    this.#order = new Int32Array(job.order);
    this.#units = new Float64Array(job.units);
    this.#folders = new RestoreFolders(`${job.staging}/tree`, job.root);
    this.#unpacker = makeUnpacker({ job, control, table: this.#table, folders: this.#folders });
  }

  run(unit: number): Promise<void> | undefined {
    const range = restoreUnitAt(this.#units, unit);
    if (range.kind === STREAM) return this.#unpacker.restoreStream(range.first).then(() => this.#control.finish());
    if (range.kind === PLACE) return this.#place(range).then(() => this.#control.finish());
    if (range.kind === JOURNAL) return this.#prepareJournal(range).then(() => this.#control.finish());
    this.#runNow(unit, range);
    this.#control.finish();
    return undefined;
  }

  settle(): void {
    // Nothing is held back.
  }

  #runNow(unit: number, range: RestoreUnit): void {
    switch (range.kind) {
      case SHORT:
        return this.#unpacker.restoreShort(this.#range(range));
      case BLOCK:
        return this.#unpacker.restoreBlock(unit, range);
      case FOLDERS:
        return this.#each(range, (_index, target) => this.#folders.makeMissing(target));
      case LINKS:
        return this.#each(range, (index, target) => this.#makeLink(index, target));
      case FINISH:
        return this.#each(range, (index, target) => this.#finishFolder(index, target));
      default:
        throw new TypeError(`unknown unit ${range.kind}`);
    }
  }

  #range({ first, count }: RestoreUnit): Int32Array {
    return this.#order.subarray(first, first + count);
  }

  #each(range: RestoreUnit, restore: (index: number, target: string) => void): void {
    for (const index of this.#range(range)) {
      if (this.#control.isAborted) throw new JobAborted();
      try {
        restore(index, this.#table.target(index));
      } catch (error) {
        throw restoreError(error, this.#table.entry(index));
      }
    }
  }

  #finishFolder(index: number, target: string): void {
    finishFolder(this.#job.root, target, this.#table.metadata(index), this.#job.policy.mask);
  }

  #makeLink(index: number, target: string): void {
    const entry = this.#table.metadata(index);
    const linkTarget = this.#unpacker.linkTarget(index);
    if (this.#hasLink(target, linkTarget, entry)) return;
    writeNewLink(this.#folders.stage(target), linkTarget, entry);
  }

  #hasLink(target: string, linkTarget: Buffer, entry: EntryMetadata): boolean {
    const existing = this.#folders.existing(target);
    const found = existing === undefined ? undefined : lstatSync(existing, { throwIfNoEntry: false });
    if (existing === undefined || found === undefined || !found.isSymbolicLink() || found.mtimeMs !== entry.mtimeMs)
      return false;
    return readlinkSync(existing, { encoding: "buffer" }).equals(linkTarget);
  }

  async #prepareJournal(range: RestoreUnit): Promise<void> {
    const { root, staging } = this.#job;
    await inTurns(prepareJournal(root, staging, this.#folderFacts(range)), this.#control);
  }

  /** In turns, since it may be the main thread that does it. Once begun it comes to its end. */
  async #place(range: RestoreUnit): Promise<void> {
    if (!this.#control.makeFinal()) throw new JobAborted();
    await inTurns(placeTree(this.#job.root, this.#job.staging, this.#folderFacts(range)), undefined);
  }

  *#folderFacts(range: RestoreUnit): Generator<FolderFacts, void> {
    for (const index of this.#range(range)) {
      yield { target: this.#table.target(index), entry: this.#table.metadata(index) };
    }
  }
}

/** An error while an entry was restored, with the entry's name. */
export function restoreError(error: unknown, entry: ArchivedEntry): unknown {
  if (error instanceof JobAborted) return error;
  const name = printablePath(entry.name);
  return toArchiveError(error, `restore "${name}"`, name);
}
