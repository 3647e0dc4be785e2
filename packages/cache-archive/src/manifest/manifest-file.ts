import { createHash, randomUUID } from "node:crypto";
import { lstatSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import type { Stats } from "node:fs";

import { errnoOf } from "../errors.ts";
import { ManifestRows } from "./manifest-rows.ts";
import type { SharedRows } from "./manifest-rows.ts";

/*
 *   mark, u32 length of the facts, facts in JSON, names, rows as the machine holds numbers, SHA-256 of all before
 *
 * The file stays on the host that wrote it, so numbers need no order of bytes of their own.
 */
const MARK = Buffer.from("fleetfoot-tree-1\n", "latin1");
const DIGEST_BYTES = 32;
/** A manifest of this length would describe millions of entries; it is read as a whole. */
const MAX_BYTES = 1024 ** 3;

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
  /** Tells it from what another writer puts in its place. */
  readonly digest: string;
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

/** @returns undefined when there is none, or one that is damaged or makes no sense */
export function readManifest(path: string | Buffer): Manifest | undefined {
  const file = readWhole(path);
  if (file === undefined || file.length < MARK.length + 4 + DIGEST_BYTES) return undefined;
  const body = file.subarray(0, -DIGEST_BYTES);
  const digest = createHash("sha256").update(body).digest();
  if (!digest.equals(file.subarray(-DIGEST_BYTES))) return undefined;
  if (!body.subarray(0, MARK.length).equals(MARK)) return undefined;
  const start = MARK.length + 4;
  const jsonEnd = start + body.readUInt32LE(MARK.length);
  const facts = parseFacts(body.toString("utf8", start, jsonEnd));
  if (facts === undefined || jsonEnd + facts.nameBytes + ManifestRows.bytesFor(facts.rows) !== body.length) {
    return undefined;
  }
  const rows = ManifestRows.copyOf(
    body.subarray(jsonEnd, jsonEnd + facts.nameBytes),
    body.subarray(jsonEnd + facts.nameBytes),
  );
  const paths = rows.soundPaths();
  return paths === undefined ? undefined : { facts, rows, paths, digest: digest.toString("latin1") };
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

function readWhole(path: string | Buffer): Buffer | undefined {
  try {
    const found = lstatSync(path, { throwIfNoEntry: false });
    return found?.isFile() === true && found.size <= MAX_BYTES ? readFileSync(path) : undefined;
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "ENOENT" || errno === "EACCES" || errno === "ENOTDIR") return undefined;
    throw error;
  }
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
