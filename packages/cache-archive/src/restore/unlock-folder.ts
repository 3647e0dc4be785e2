import { chmodSync, lstatSync } from "node:fs";

import { toFileSystemPath } from "../path-bytes.ts";

/**
 * Lets this user change the content of a folder that belongs to the user and forbids it. The superuser needs no such thing, and folders of others stay as
 * they are.
 *
 * @returns gives the folder its mode back; undefined when it was not changed
 */
export function unlockFolder(folder: string): (() => void) | undefined {
  const user = process.geteuid?.();
  if (user === undefined || user === 0) return undefined;
  const place = toFileSystemPath(folder);
  const found = lstatSync(place);
  const isLocked = found.isDirectory() && (found.mode & OWNER_MAY_CHANGE) !== OWNER_MAY_CHANGE;
  if (!isLocked || found.uid !== user) return undefined;
  const mode = found.mode & 0o7777;
  chmodSync(place, mode | OWNER_MAY_CHANGE);
  return () => chmodSync(place, mode);
}

const OWNER_MAY_CHANGE = 0o300;
