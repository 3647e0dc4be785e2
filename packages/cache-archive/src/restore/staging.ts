import { createHash, randomUUID } from "node:crypto";
import { chmodSync, lstatSync, mkdirSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { hostname } from "node:os";

import { errnoOf } from "../errors.ts";
import { pathFromBytes, pathToBytes, toFileSystemPath } from "../path-bytes.ts";
import { readJournalHead, removeJournal } from "./journal.ts";
import { runOnThread } from "./run-staging-task.ts";
import { isGivenUp, TREE } from "./staging-files.ts";
import { STAGING_PREFIX } from "./staging-name.ts";

/*
 * A restore happens in a folder beside the root, on the same file system, and is moved into its place when it is complete. So
 * a restore that dies half-way leaves nothing in the root that anybody could trust.
 */

/** Where a restore happens before it is complete. */
export interface Staging {
  /** Absolute path of the root, without links. */
  readonly root: string;
  /** Absolute path of the folder; `tree` in it becomes the root's content. */
  readonly folder: string;
  /** Bits that the system takes from the mode of a new file there. */
  readonly umask: number;
}

/** Makes the root when it is missing, and a staging folder for it. What dead processes left for this root is cleaned up first. */
export async function openStaging(root: string): Promise<Staging> {
  mkdirSync(root, { recursive: true });
  const real = realPathOf(root);
  await settleStaging(real);
  const name = `${prefixOf(real)}${thisHost()}-${process.pid}-${processStart(process.pid)}-${randomUUID()}`;
  const [beside, inside] = placesFor(real);
  const folder = makeFolder(`${beside}/${name}`, real) ?? makeFolder(`${inside}/${name}`, real);
  if (folder === undefined)
    throw Object.assign(new Error(`EACCES: no folder can be made in ${real}`), { code: "EACCES" });
  const tree = `${folder}/${TREE}`;
  mkdirSync(toFileSystemPath(tree));
  const umask = 0o777 & ~lstatSync(toFileSystemPath(tree)).mode;
  return { root: real, folder, umask };
}

/**
 * Completes or clears away what restores into this root left behind when their process died.
 *
 * @param root - without links
 * @returns how many had begun to move their tree into the root, and are complete now
 * @throws what kept one of them from being completed, after all of them were cleared away: the root then holds a part of it. Only
 *   one whose moves could not be taken back is kept, and tried again, since nothing else has the files that it replaced
 */
export async function settleStaging(root: string): Promise<number> {
  // Two at once would move the same files.
  const settled = settling.get(root) ?? settleNow(root).finally(() => settling.delete(root));
  settling.set(root, settled);
  return await settled;
}

/** By root, what is going on in this process. */
const settling = new Map<string, Promise<number>>();

async function settleNow(root: string): Promise<number> {
  let completed = 0;
  const failures: unknown[] = [];
  for (const parent of placesFor(root)) {
    for (const name of await namesIn(parent)) {
      if (!name.startsWith(prefixOf(root))) continue;
      const folder = `${parent}/${name}`;
      if (isAlive(name.slice(prefixOf(root).length), folder) && !isGivenUp(folder)) continue;
      let isKept = false;
      try {
        if ((await runOnThread({ kind: "finish-placing", root, staging: folder })) === true) completed += 1;
      } catch (error) {
        // It would fail again, and no restore into this root would ever come to its end.
        failures.push(error);
        isKept = isGivenUp(folder);
      }
      if (!isKept) await clearAway(root, folder);
    }
  }
  if (failures.length > 0) throw failures[0];
  return completed;
}

/** What cannot be removed is in nobody's way: without its journal it is nothing. */
async function clearAway(root: string, folder: string): Promise<void> {
  try {
    await runOnThread({ kind: "clear-staging", root, staging: folder });
  } catch (error) {
    if (readJournalHead(root, folder) !== "nothing") throw error;
  }
}

/** Takes from restores of other hosts what would complete them one day, over the tree that is in the root now. */
export async function supersedeOtherHosts(root: string): Promise<void> {
  for (const parent of placesFor(root)) {
    for (const name of await namesIn(parent)) {
      if (!name.startsWith(prefixOf(root)) || name.startsWith(`${prefixOf(root)}${thisHost()}-`)) continue;
      removeJournal(`${parent}/${name}`);
    }
  }
}

/** A restore of another host whose folder has not changed for so long is dead. */
const FOREIGN_LIFE_MS = 24 * 60 * 60 * 1000;

/** @returns now for a folder that is gone by now */
function lastChangeMs(folder: string): number {
  return lstatSync(toFileSystemPath(folder), { throwIfNoEntry: false })?.mtimeMs ?? Date.now();
}

/** @returns undefined for a place that is not writable, or on another file system than the root */
function makeFolder(folder: string, root: string): string | undefined {
  const place = toFileSystemPath(folder);
  try {
    mkdirSync(place, 0o700);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "EACCES" || errno === "EPERM" || errno === "EROFS") return undefined;
    throw error;
  }
  if (lstatSync(place).dev === lstatSync(toFileSystemPath(root)).dev) {
    // Without a group that its parent may hand down.
    chmodSync(place, 0o700);
    return folder;
  }
  rmSync(place, { recursive: true });
  return undefined;
}

function placesFor(root: string): [beside: string, inside: string] {
  return [root.slice(0, Math.max(root.lastIndexOf("/"), 0)) || "/", root];
}

/** Tells roots apart that lie side by side. */
function prefixOf(root: string): string {
  return `${STAGING_PREFIX}${createHash("sha256").update(pathToBytes(root)).digest("hex").slice(0, 16)}-`;
}

/** Hosts may share a file system, and a container that is made anew is another host on the same one. */
function thisHost(): string {
  return `host${createHash("sha256").update(hostname()).digest("hex").slice(0, 8)}`;
}

/** @param rest - of the name of a staging folder: host, process id, start of that process, something random */
function isAlive(rest: string, folder: string): boolean {
  const [host, ...numbers] = rest.split("-");
  // Nobody here can ask for a process of another host.
  if (host !== thisHost()) return Date.now() - lastChangeMs(folder) < FOREIGN_LIFE_MS;
  const [pid = Number.NaN, start = 0] = numbers.map(Number);
  if (start !== processStart(pid)) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errnoOf(error) === "EPERM";
  }
}

/**
 * When a process began, in the system's own count; ids are given again, in a container nearly always the same one.
 *
 * @returns 0 where that cannot be told
 * @see https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
 */
function processStart(pid: number): number {
  try {
    // The name of the program is in parentheses, and may hold anything.
    const facts = readFileSync(`/proc/${pid}/stat`, "latin1").replace(/^.*\) /s, "");
    return Number(facts.split(" ")[START_FIELD] ?? 0);
  } catch {
    return 0;
  }
}

/** Counted from behind the name. */
const START_FIELD = 19;

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(toFileSystemPath(folder));
  } catch {
    // It cannot be read, so nothing of ours can be in it either.
    return [];
  }
}

/** The root as staging folders know it. */
export function realPathOf(path: string): string {
  return pathFromBytes(realpathSync(toFileSystemPath(path), { encoding: "buffer" }));
}
