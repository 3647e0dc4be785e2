import { readlinkSync } from "node:fs";
import { crc32 } from "node:zlib";

import type { JobControl } from "../engine/control.ts";
import { OrderedOutput, writeAll } from "../engine/ordered-output.ts";
import { PlanView } from "../engine/pack-plan.ts";
import type { SharedPlan } from "../engine/pack-plan.ts";
import { lookAtEntry, readPart, readSamples, readWhole } from "../engine/source.ts";
import type { Unit } from "../engine/units.ts";
import type { UnitRunner } from "../engine/unit-runner.ts";
import { changed, entryPath, sourceError, WHOLE_FILE_BYTES } from "../source-file.ts";
import type { ArchiveEntry } from "../types.ts";
import { blockBytesFor } from "./block-index.ts";
import { METHOD_STORED } from "./constants.ts";
import { writeDirectory } from "./directory-writer.ts";
import { isHopeless, PROBE_BYTES } from "./pack-bytes.ts";
import { dataDescriptor, entryHeader, localHeader, localHeaderLength } from "./records.ts";
import type { EntryData, EntryHeader } from "./records.ts";
import { streamLongFile } from "./pack-stream.ts";
import { UnitBytes } from "./unit-bytes.ts";

/** What a participant needs to pack a part of a zip archive. */
export interface PackZipTask {
  readonly kind: "pack-zip";
  readonly root: string;
  readonly plan: SharedPlan;
  /** Open for writing. */
  readonly descriptor: number;
  readonly method: number;
  readonly level: number;
  /** Whether what does not shrink is stored; the reference does so with several workers only. */
  readonly storesGrowing: boolean;
}

/** How an entry's header looks, kept in the table until the directory is written. */
const FORM_STORED = 0;
const FORM_PACKED = 1;

const UNDECIDED = 0;
const DECIDING = 1;
const DECIDED_STORED = 2;
const DECIDED_PACKED = 3;

/** A file is stored when so many samples from all over it do not shrink. */
const SAMPLES = 8;
/** The wait for another participant's decision is cut into pieces, in case that one dies. */
const DECISION_PAUSE_MS = 50;

const NOTHING: EntryData = { crc: 0, compressedBytes: 0, bytes: 0 };

/** Packs units of a zip archive. */
export class ZipPacker implements UnitRunner {
  readonly #task: PackZipTask;
  readonly #control: JobControl;
  readonly #plan: PlanView;
  readonly #output: OrderedOutput;
  readonly #bytes: UnitBytes;

  constructor(task: PackZipTask, control: JobControl) {
    this.#task = task;
    this.#control = control;
    this.#plan = new PlanView(task.plan);
    this.#output = new OrderedOutput(control, task.descriptor);
    this.#bytes = new UnitBytes(task);
  }

  run(unit: number): Promise<void> | undefined {
    this.#plan.refresh();
    const range = this.#plan.units.at(unit);
    if (range.count === 0) return this.#end(unit);
    if (range.block >= 0) return this.#packBlock(unit, range);
    if (range.count === 1 && this.#plan.entries.entry(range.first).bytes > WHOLE_FILE_BYTES)
      return this.#stream(unit, range.first);
    return this.#packShort(unit, range);
  }

  settle(): void {
    this.#output.settle();
  }

  #packShort(unit: number, { first, count }: Unit): undefined {
    this.#bytes.clear();
    const starts: number[] = [];
    for (let index = first; index < first + count; index += 1) {
      starts.push(this.#bytes.length);
      this.#packEntry(index);
    }
    const place = (offset: number): undefined => {
      for (const [nth, start] of starts.entries()) this.#plan.entries.setOffset(first + nth, offset + start);
    };
    this.#output.give({ unit, bytes: this.#bytes.bytes, place }, true);
  }

  #packEntry(index: number): void {
    const entry = this.#plan.entries.entry(index);
    if (entry.kind !== "file") this.#lookAt(index, entry);
    if (entry.kind === "directory") {
      this.#bytes.appendHeader(entryHeader(entry, METHOD_STORED, "owner-first"), NOTHING);
      this.#plan.entries.setPacked(index, FORM_STORED, NOTHING);
    } else if (entry.kind === "symlink") {
      const target = this.#readLink(entry);
      const data = { crc: crc32(target), compressedBytes: target.length, bytes: target.length };
      this.#bytes.appendHeader(entryHeader(entry, METHOD_STORED, "time-first"), data);
      this.#bytes.append(target);
      this.#plan.found?.setCrc(index, data.crc);
      this.#plan.entries.setPacked(index, FORM_STORED, data);
    } else {
      this.#packFile(index, entry);
    }
  }

  #packFile(index: number, entry: ArchiveEntry): void {
    const { root, method, storesGrowing } = this.#task;
    const content = readWhole(root, entry, this.#bytes.input, 0, this.#plan.look(index));
    const crc = crc32(content);
    const bytes = content.length;
    let packedBytes: number | undefined;
    if (method !== METHOD_STORED && bytes > 0) {
      packedBytes = this.#bytes.appendPacked(this.#header(entry, FORM_PACKED), content, storesGrowing);
    }
    if (packedBytes === undefined) {
      this.#bytes.appendHeader(this.#header(entry, FORM_STORED));
      this.#bytes.append(content);
    }
    const data = { crc, compressedBytes: packedBytes ?? bytes, bytes };
    this.#bytes.appendDescriptor(data);
    this.#plan.entries.setPacked(index, packedBytes === undefined ? FORM_STORED : FORM_PACKED, data);
  }

  #packBlock(unit: number, { first: index, block }: Unit): undefined {
    const entry = this.#plan.entries.entry(index);
    const { root } = this.#task;
    const blockBytes = blockBytesFor(entry.bytes);
    const count = Math.ceil(entry.bytes / blockBytes);
    const isLast = block === count - 1;
    const firstUnit = unit - block;
    const position = block * blockBytes;
    const form = this.#formOf(entry, firstUnit);
    if (block === 0) this.#lookAt(index, entry);
    const wanted = Math.min(blockBytes, entry.bytes - position);
    const { input } = this.#bytes;
    const target = wanted <= input.length ? input.subarray(0, wanted) : Buffer.allocUnsafe(wanted);
    const content = readPart(root, entry, position, target);
    // Its headers and blocks may be written already, so what is missing cannot be left out any more.
    if (content.length < wanted) throw changed(entry);
    const crc = crc32(content);
    this.#bytes.clear();
    if (block === 0) this.#bytes.appendHeader(this.#header(entry, form));
    const packedBytes = form === FORM_STORED ? this.#bytes.append(content) : this.#bytes.appendBlock(content, isLast);
    this.#plan.blocks.set(unit, crc, wanted, packedBytes);
    const place = (offset: number): Buffer | undefined => {
      if (block === 0) this.#plan.entries.setOffset(index, offset);
      if (!isLast) return undefined;
      const data = this.#plan.blocks.sum(firstUnit, count);
      this.#plan.entries.setPacked(index, form, data);
      return dataDescriptor(data);
    };
    this.#output.give({ unit, bytes: this.#bytes.bytes, place }, true);
  }

  /** Whoever comes first decides for the whole file, by samples from all over it. */
  #formOf(entry: ArchiveEntry, firstUnit: number): number {
    const { method, root, storesGrowing } = this.#task;
    if (method === METHOD_STORED) return FORM_STORED;
    const choice = this.#plan.choice(firstUnit);
    if (Atomics.compareExchange(choice, 0, UNDECIDED, DECIDING) === UNDECIDED) {
      const isStored = storesGrowing && isHopeless(readSamples(root, entry, SAMPLES, PROBE_BYTES));
      Atomics.store(choice, 0, isStored ? DECIDED_STORED : DECIDED_PACKED);
      Atomics.notify(choice, 0);
    }
    while (Atomics.load(choice, 0) === DECIDING && !this.#control.isAborted) {
      Atomics.wait(choice, 0, DECIDING, DECISION_PAUSE_MS);
    }
    return Atomics.load(choice, 0) === DECIDED_STORED ? FORM_STORED : FORM_PACKED;
  }

  /** A long file in one piece: nobody else can have a part in it, so it is written when its turn comes. */
  async #stream(unit: number, index: number): Promise<void> {
    this.#output.settle();
    if (!this.#control.waitForTurnOf(unit)) return;
    const { root, method, level, descriptor, storesGrowing } = this.#task;
    const entry = this.#plan.entries.entry(index);
    const start = this.#control.length;
    this.#lookAt(index, entry);
    const write = async (form: number): Promise<EntryData> => {
      const local = localHeader(this.#header(entry, form));
      writeAll(descriptor, local, start);
      const chosen = form === FORM_STORED ? METHOD_STORED : method;
      const target = { descriptor, position: start + local.length, isAborted: () => this.#control.isAborted };
      return await streamLongFile(root, entry, { method: chosen, level }, target);
    };
    let form = method === METHOD_STORED ? FORM_STORED : FORM_PACKED;
    let data = await write(form);
    if (storesGrowing && data.compressedBytes > data.bytes) {
      form = FORM_STORED;
      data = await write(form);
    }
    const headerBytes = localHeaderLength(this.#header(entry, form));
    const end = dataDescriptor(data);
    writeAll(descriptor, end, start + headerBytes + data.compressedBytes);
    this.#plan.entries.setOffset(index, start);
    this.#plan.entries.setPacked(index, form, data);
    this.#control.commit(headerBytes + data.compressedBytes + end.length);
    this.#control.finish();
  }

  #end(unit: number): undefined {
    this.#output.settle();
    if (!this.#control.waitForTurnOf(unit)) return;
    const bytes = writeDirectory(
      {
        entries: this.#plan.entries,
        units: this.#plan.units,
        blocks: this.#plan.blocks,
        headerOf: (entry, form) => this.#header(entry, form),
      },
      this.#task.descriptor,
      this.#control.length,
    );
    this.#control.commit(bytes);
    this.#control.finish();
  }

  #header(entry: ArchiveEntry, form: number): EntryHeader {
    const { method, storesGrowing } = this.#task;
    if (entry.kind === "symlink") return entryHeader(entry, METHOD_STORED, "time-first");
    if (form === FORM_STORED) return entryHeader(entry, METHOD_STORED, "owner-first");
    return entryHeader(entry, method, storesGrowing ? "time-first" : "owner-first");
  }

  #lookAt(index: number, entry: ArchiveEntry): void {
    const look = this.#plan.look(index);
    if (look !== undefined) lookAtEntry(this.#task.root, entry, look);
  }

  #readLink(entry: ArchiveEntry): Buffer {
    try {
      return readlinkSync(entryPath(this.#task.root, entry), { encoding: "buffer" });
    } catch (error) {
      throw sourceError(error, entry);
    }
  }
}
