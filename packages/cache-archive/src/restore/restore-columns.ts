/*
 * The numbers of an entry that is to be restored, side by side in one row. Whoever plans a restore writes and compares hundreds of thousands of them,
 * and does so in place.
 */

export const COLUMN = {
  /** Of the name as in the archive. */
  nameStart: 0,
  nameLength: 1,
  /** Of the entry's place, from when that is known. */
  targetStart: 2,
  targetLength: 3,
  kind: 4,
  mode: 5,
  mtimeMs: 6,
  /** Less than nothing when the archive does not say. */
  uid: 7,
  gid: 8,
  bytes: 9,
  crc: 10,
  compressedBytes: 11,
  offset: 12,
  method: 13,
  flags: 14,
  frame: 15,
} as const;
export const COLUMNS = 16;

/** Kinds by their number. */
export const KINDS = ["file", "directory", "symlink", "other"] as const;
export const FILE = 0;
export const DIRECTORY = 1;
export const SYMLINK = 2;
export const OTHER = 3;
