import { closeSync, lstatSync, rmSync } from "node:fs";

import type { EntryMetadata } from "../archived-entry.ts";
import { toFileSystemPath } from "../path-bytes.ts";
import { readJsonLines } from "./read-lines.ts";
import { completePart, isOurs, JOURNAL, openToRead, partOf, writePart } from "./staging-files.ts";

/*
 * The journal says that a tree is complete, for which root it was made, and what its folders get after the moves. It is written before the
 * first move; with it another process can go on when this one dies.
 */

/** What a folder gets. */
export type FolderMetadata = Pick<EntryMetadata, "mode" | "mtimeMs" | "owner">;

/** The metadata of a folder. */
export interface FolderFacts {
  /** Clean slash path relative to the root. */
  readonly target: string;
  readonly entry: FolderMetadata;
}

export function* writeJournal(root: string, staging: string, folders: Iterable<FolderFacts>): Generator<void, void> {
  // Another folder may have come into the place of the root since it was prepared.
  if (headOf(partOf(`${staging}/${JOURNAL}`), root) !== "begun") yield* prepareJournal(root, staging, folders);
  completePart(`${staging}/${JOURNAL}`);
}

/** Writes what {@link writeJournal} then only has to name: that takes as long as hundreds of files, and needs no complete tree. */
export function* prepareJournal(root: string, staging: string, folders: Iterable<FolderFacts>): Generator<void, void> {
  yield* writePart(`${staging}/${JOURNAL}`, linesOf(root, folders));
}

function* linesOf(root: string, folders: Iterable<FolderFacts>): Generator<unknown, void> {
  yield identityOf(root);
  for (const { target, entry } of folders) {
    const { mode, mtimeMs, owner } = entry;
    yield { target, mode, mtimeMs, owner };
  }
}

/**
 * What a staging folder says of its moves: nothing when they had not begun; `other` when they had, into another folder than the one that is in
 * the place of the root by now.
 */
export function readJournalHead(root: string, staging: string): JournalHead {
  return headOf(`${staging}/${JOURNAL}`, root);
}

type JournalHead = "nothing" | "begun" | "other";

function headOf(path: string, root: string): JournalHead {
  const descriptor = openToRead(path);
  if (descriptor === undefined) return "nothing";
  try {
    const [head] = readJsonLines(descriptor);
    if (!isRecord(head) || head["root"] !== root) return "nothing";
    const { device, inode } = identityOf(root);
    return head["device"] === device && head["inode"] === inode ? "begun" : "other";
  } finally {
    closeSync(descriptor);
  }
}

/** The folders of a journal, in its order. */
export function* readJournal(staging: string): Generator<FolderFacts, void> {
  const descriptor = openToRead(`${staging}/${JOURNAL}`);
  if (descriptor === undefined) return;
  try {
    for (const line of readJsonLines(descriptor)) {
      const folder = folderIn(line);
      if (folder !== undefined) yield folder;
    }
  } finally {
    closeSync(descriptor);
  }
}

/** Nobody completes the moves of this staging folder any more. */
export function removeJournal(staging: string): void {
  if (isOurs(staging)) rmSync(toFileSystemPath(`${staging}/${JOURNAL}`), { recursive: true, force: true });
}

/** What tells a folder from another one that is, or will be, in its place. */
function identityOf(root: string): { readonly root: string; readonly device: string; readonly inode: string } {
  const { dev, ino } = lstatSync(toFileSystemPath(root), { bigint: true });
  return { root, device: String(dev), inode: String(ino) };
}

function folderIn(line: unknown): FolderFacts | undefined {
  if (!isRecord(line)) return undefined;
  const { target, mode, mtimeMs, owner } = line;
  if (typeof target !== "string" || !isNumber(mode) || !isNumber(mtimeMs)) return undefined;
  return { target, entry: { mode, mtimeMs, owner: ownerIn(owner) } };
}

function ownerIn(value: unknown): FolderMetadata["owner"] {
  if (!isRecord(value)) return undefined;
  const { uid, gid } = value;
  return isNumber(uid) && isNumber(gid) ? { uid, gid } : undefined;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

function isNumber(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value);
}
