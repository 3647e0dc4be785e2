import { chmodSync, lchownSync, lstatSync, lutimesSync } from "node:fs";

import { errnoOf } from "../errors.ts";
import { toFileSystemPath } from "../path-bytes.ts";
import { followInside } from "./inside.ts";
import type { FolderMetadata } from "./journal.ts";

/**
 * Times, permission bits and owner of a folder, as far as they differ and as far as this process may set them: a folder that
 * was there before may belong to somebody else. A file in its place gets them instead.
 */
export function finishFolder(root: string, target: string, entry: FolderMetadata, modeMask: number): void {
  const named = `${root}/${target}`;
  let place = toFileSystemPath(named);
  let found = lstatSync(place);
  if (found.isSymbolicLink()) {
    place = toFileSystemPath(followInside(named, target, root));
    found = lstatSync(place);
  }
  const { owner } = entry;
  const mode = entry.mode & modeMask;
  const changesOwner = owner !== undefined && (owner.uid !== found.uid || owner.gid !== found.gid);
  if (found.mtimeMs !== entry.mtimeMs) {
    ifAllowed(() => lutimesSync(place, Date.now() / 1000, entry.mtimeMs / 1000));
  }
  if (changesOwner) {
    try {
      lchownSync(place, owner.uid, owner.gid);
    } catch {
      // Only root may give folders away; everybody else's stay their own, which is what they need.
    }
  }
  if (changesOwner || (found.mode & 0o7777) !== mode) ifAllowed(() => chmodSync(place, mode));
}

/** Everything is in its place by now: a restore that failed here would have changed the root all the same. */
function ifAllowed(change: () => void): void {
  try {
    change();
  } catch (error) {
    const errno = errnoOf(error);
    if (errno !== "EPERM" && errno !== "EACCES" && errno !== "EROFS") throw error;
  }
}
