import { lstatSync } from "node:fs";

import type { EntryMetadata } from "../archived-entry.ts";
import { fileCrc } from "../file-crc.ts";

/**
 * Whether a file is just as its entry says, so that it need not be unpacked: size, mode, owner, time to the second, and the
 * CRC of its content.
 */
export function isAlreadyThere(place: string | Buffer, entry: EntryMetadata, crc: number, modeMask: number): boolean {
  const found = lstatSync(place, { throwIfNoEntry: false });
  if (found === undefined || !found.isFile() || found.size !== entry.bytes) return false;
  if ((found.mode & 0o7777) !== (entry.mode & modeMask) || found.mtimeMs !== entry.mtimeMs) return false;
  if (entry.owner !== undefined && process.geteuid?.() === 0) {
    if (found.uid !== entry.owner.uid || found.gid !== entry.owner.gid) return false;
  }
  return fileCrc(place, entry.bytes) === crc;
}
