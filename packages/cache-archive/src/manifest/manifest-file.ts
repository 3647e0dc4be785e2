import { createHash, randomUUID } from "node:crypto";
import type { Hash } from "node:crypto";
import { closeSync, readSync, renameSync, rmSync, writeFileSync } from "node:fs";
import type { Stats } from "node:fs";

import { errnoOf } from "../errors.ts";
import { openPlainFile } from "../plain-file.ts";
import type { PlainFile } from "../plain-file.ts";
import { ManifestRows } from "./manifest-rows.ts";
import type { SharedRows } from "./manifest-rows.ts";

/*
 *   mark, u32 length of the facts, facts in JSON, names, rows as the machine holds numbers, SHA-256 of all before
 *
 * The file stays on the host that wrote it, so numbers need no order of bytes of their own.
 */
const MARK = Buffer.from("fleetfoot-tree-1\n", "latin1");
const DIGEST_BYTES = 32;
/** A manifest of this length describes more than a million entries; all of it is held in memory. */
const MAX_BYTES = 256 * 1024 ** 2;
/** Ten times what the facts ever take. */
const MAX_FACTS_BYTES = 4096;
/** After so many bytes the caller may do something else. */
const BYTES_PER_STEP = 1024 ** 2;

/** Tells a file from every other one that lay or will lie in its place. */
export interface FileIdentity {
  readonly inode: number;
  readonly bytes: number;
  readonly mtimeMs: number;
  /** No program can set it: it tells a file from one that got its inode, length and time. */
  readonly ctimeMs: number;
}

/** What a manifest is about. */
export interface ManifestFacts {
  /** The archive that holds the same as the tree. */
  readonly archive: FileIdentity;
  /** Of the folder that the paths begin in. */
  readonly root: { readonly device: number; readonly inode: number };
  /** Before the first entry was looked at. */
  readonly takenAtMs: number;
  /** Of the archive, with those that a restore passes over. */
  readonly entries: number;
}

export interface Manifest {
  readonly facts: ManifestFacts;
  readonly rows: ManifestRows;
  /** Of all rows. */
  readonly paths: readonly string[];
}

/** Writes it beside its place and renames it: there is never a part of one. */
export function writeManifest(path: string | Buffer, facts: ManifestFacts, shared: SharedRows): void {
  const json = Buffer.from(
    JSON.stringify({ ...facts, rows: shared.count, nameBytes: shared.names.byteLength }),
    "utf8",
  );
  const length = Buffer.alloc(4);
  length.writeUInt32LE(json.length);
  const parts = [MARK, length, json, Buffer.from(shared.names), Buffer.from(shared.rows)];
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  const part = Buffer.concat([Buffer.from(path), Buffer.from(`.${randomUUID()}`)]);
  try {
    writeFileSync(part, Buffer.concat([...parts, hash.digest()]), { mode: 0o600, flag: "wx" });
    renameSync(part, path);
  } catch (error) {
    rmSync(part, { force: true });
    throw error;
  }
}

/**
 * In steps of less than a few milliseconds; whoever stops early has to end it with `return()`, which closes the file.
 *
 * @returns undefined when there is none, or one that is damaged or makes no sense
 */
export function* readManifest(path: string | Buffer): Generator<void, Manifest | undefined> {
  const file = openManifest(path);
  if (file === undefined) return undefined;
  try {
    return yield* readOpen(file);
  } finally {
    closeSync(file.descriptor);
  }
}

export function identityOf({ ino: inode, size: bytes, mtimeMs, ctimeMs }: Stats): FileIdentity {
  return { inode, bytes, mtimeMs, ctimeMs };
}

export function isSameFile(one: FileIdentity, other: FileIdentity): boolean {
  return (
    one.inode === other.inode &&
    one.bytes === other.bytes &&
    one.mtimeMs === other.mtimeMs &&
    one.ctimeMs === other.ctimeMs
  );
}

/** @returns undefined when there is no file, or none that may be read */
function openManifest(path: string | Buffer): PlainFile | undefined {
  try {
    return openPlainFile(path);
  } catch (error) {
    if (errnoOf(error) === "EACCES") return undefined;
    throw error;
  }
}

function* readOpen({ descriptor, facts: { size } }: PlainFile): Generator<void, Manifest | undefined> {
  if (size > MAX_BYTES) return undefined;
  const hash = createHash("sha256");
  const head = Buffer.alloc(MARK.length + 4);
  if (!(yield* fill(descriptor, head, hash)) || !head.subarray(0, MARK.length).equals(MARK)) return undefined;
  const json = Buffer.alloc(Math.min(head.readUInt32LE(MARK.length), MAX_FACTS_BYTES));
  if (!(yield* fill(descriptor, json, hash))) return undefined;
  const facts = parseFacts(json.toString("utf8"));
  if (facts === undefined) return undefined;
  const { nameBytes, rows: count } = facts;
  // Before anything as long as the file says is made.
  const rowBytes = ManifestRows.bytesFor(count);
  if (head.length + json.length + nameBytes + rowBytes + DIGEST_BYTES !== size) return undefined;
  const shared = { names: new SharedArrayBuffer(nameBytes), rows: new SharedArrayBuffer(rowBytes), count };
  if (!(yield* fill(descriptor, Buffer.from(shared.names), hash))) return undefined;
  if (!(yield* fill(descriptor, Buffer.from(shared.rows), hash))) return undefined;
  const digest = Buffer.alloc(DIGEST_BYTES);
  if (!(yield* fill(descriptor, digest)) || !hash.digest().equals(digest)) return undefined;
  const rows = new ManifestRows(shared);
  const paths = yield* rows.soundPaths();
  return paths === undefined ? undefined : { facts, rows, paths };
}

/** @returns false when the file ends before */
function* fill(descriptor: number, target: Buffer, hash?: Hash): Generator<void, boolean> {
  for (let at = 0; at < target.length;) {
    const length = readSync(descriptor, target, at, Math.min(target.length - at, BYTES_PER_STEP), null);
    if (length === 0) return false;
    hash?.update(target.subarray(at, at + length));
    at += length;
    yield;
  }
  return true;
}

function parseFacts(json: string): (ManifestFacts & { readonly rows: number; readonly nameBytes: number }) | undefined {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return undefined;
  }
  if (!isRecord(value) || !isRecord(value["archive"]) || !isRecord(value["root"])) return undefined;
  const { archive, root } = value;
  const [rows, nameBytes, takenAtMs, entries] = [
    value["rows"],
    value["nameBytes"],
    value["takenAtMs"],
    value["entries"],
  ];
  const [inode, bytes, mtimeMs, ctimeMs] = [archive["inode"], archive["bytes"], archive["mtimeMs"], archive["ctimeMs"]];
  const [device, rootInode] = [root["device"], root["inode"]];
  if (!isCount(rows) || !isCount(nameBytes) || !isCount(entries) || !isNumber(takenAtMs)) return undefined;
  if (!isNumber(inode) || !isNumber(bytes) || !isNumber(mtimeMs) || !isNumber(ctimeMs)) return undefined;
  if (!isNumber(device) || !isNumber(rootInode)) return undefined;
  return {
    archive: { inode, bytes, mtimeMs, ctimeMs },
    root: { device, inode: rootInode },
    takenAtMs,
    entries,
    rows,
    nameBytes,
  };
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

function isNumber(value: unknown): value is number {
  return typeof value === "number";
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}
