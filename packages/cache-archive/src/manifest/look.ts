import { lstatSync, readlinkSync } from "node:fs";
import type { Stats } from "node:fs";
import { crc32 } from "node:zlib";

import { foundFacts } from "../engine/found-table.ts";
import type { FoundFacts } from "../engine/found-table.ts";
import { fileCrc } from "../file-crc.ts";

/**
 * Change times come from a clock that ticks every few milliseconds. What changed this shortly before it was looked at may have
 * changed again within the same tick.
 */
const TICK_MS = 50;
/** The longest tick of a file system that keeps whole seconds. */
const COARSE_TICK_MS = 2000;

/** How an entry is now; undefined when it is not there. The CRC of a file is left at 0, since its content is not read. */
export function lookAt(place: string | Buffer): FoundFacts | undefined {
  const found = lstatSync(place, { throwIfNoEntry: false });
  if (found === undefined) return undefined;
  return foundFacts(found, found.isSymbolicLink() ? crc32(readlinkSync(place, { encoding: "buffer" })) : 0);
}

/**
 * Whether an entry is as it was. No program can set the change time, so one that is the same proves it; with another one, or
 * another inode, only the content does.
 *
 * @param takenAtMs - before `was` was looked at
 */
export function isUnchanged(place: string | Buffer, now: Stats, was: FoundFacts, takenAtMs: number): boolean {
  const { mode, uid, gid, mtimeMs } = was;
  if (now.mode !== mode || now.uid !== uid || now.gid !== gid || now.mtimeMs !== mtimeMs) return false;
  // A folder that is moved as a whole gets a new change time; what is in it is looked at in any case.
  if (now.isDirectory()) return true;
  if (now.size !== was.bytes) return false;
  const tickMs = was.ctimeMs % 1000 === 0 ? COARSE_TICK_MS : TICK_MS;
  const isSettled = was.ctimeMs < takenAtMs - tickMs;
  if (isSettled && now.ino === was.inode && now.ctimeMs === was.ctimeMs) return true;
  return contentCrc(place, now) === was.crc;
}

/** CRC of a file's content or a link's target; undefined for anything else, and for a file that is not as it was found. */
function contentCrc(place: string | Buffer, found: Stats): number | undefined {
  if (found.isSymbolicLink()) return crc32(readlinkSync(place, { encoding: "buffer" }));
  return found.isFile() ? fileCrc(place, found.size) : undefined;
}
