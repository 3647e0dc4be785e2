import { createHash } from "node:crypto";
import { join } from "node:path";

/** Ends the name of a file that holds an object. An encoded segment has no `~`, so no directory ends like this. */
export const objectSuffix = "~object";

/**
 * Says which file holds an object. Each segment of a name is a directory of its own, the last one a file, so that `a` and
 * `a/b` can both be there. Whatever a file system might not keep or tell apart is escaped or hashed; two names that a file
 * system without regard to case takes for one are told apart by the name inside the file.
 *
 * @param name - a checked name
 */
export function filePathOf(directory: string, name: string): string {
  const segments = name.split("/").map(encodeSegment);
  return `${join(directory, ...segments)}${objectSuffix}`;
}

/** The deepest directory below which every name with the prefix lies. */
export function directoryOfPrefix(directory: string, prefix: string): string {
  return join(directory, ...prefix.split("/").slice(0, -1).map(encodeSegment));
}

/** Escapes one segment; file systems take 255 bytes, suffix and claims included. */
export function encodeSegment(segment: string): string {
  const escaped = encodeURIComponent(segment).replaceAll(
    /[~!*'()]/g,
    (character) => `%${character.charCodeAt(0).toString(16)}`,
  );
  if (escaped.length <= maxSegmentLength) return escaped;
  return `${escaped.slice(0, 100)}%~${createHash("sha256").update(segment).digest("hex")}`;
}

const maxSegmentLength = 200;
