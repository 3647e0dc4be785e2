import { opendirSync } from "node:fs";

import { pathFromBytes, toFileSystemPath } from "../path-bytes.ts";

/** Reads the names in a folder, some at a time: tens of thousands at once keep a thread for a tenth of a second. */
export function* readFolder(folder: string): Generator<void, string[]> {
  const names: string[] = [];
  // Each byte as one character, since names need not be UTF-8.
  const directory = opendirSync(toFileSystemPath(folder), { encoding: "latin1", bufferSize: NAMES_AT_ONCE });
  try {
    for (let entry = directory.readSync(); entry !== null; entry = directory.readSync()) {
      names.push(pathFromBytes(Buffer.from(entry.name, "latin1")));
      if (names.length % NAMES_AT_ONCE === 0) yield;
    }
  } finally {
    directory.closeSync();
  }
  return names;
}

const NAMES_AT_ONCE = 256;
