import { join } from "node:path";

import { systemCodeOf } from "./failures.ts";
import { objectSuffix } from "./file-names.ts";
import type { LocalFileSystem } from "./file-system.ts";
import { openObjectFile } from "./object-file.ts";
import type { ObjectFile } from "./object-file.ts";

/** What a file says of its object. */
type Found = Omit<ObjectFile, "handle">;

/** The objects below a directory whose names begin with a prefix. Names are read from the files, since long ones are not spelled out in their paths; hence sorted at the end. */
export async function objectsBelow(
  fileSystem: LocalFileSystem,
  top: string,
  prefix: string,
  signal: AbortSignal | undefined,
): Promise<Found[]> {
  const found: Found[] = [];
  const directories = [top];
  for (let directory = directories.pop(); directory !== undefined; directory = directories.pop()) {
    signal?.throwIfAborted();
    for (const entry of await entriesOf(fileSystem, directory)) {
      const path = join(directory, entry.name);
      if (entry.isDirectory()) directories.push(path);
      if (!entry.isFile() || !entry.name.endsWith(objectSuffix) || entry.name.startsWith("~")) continue;
      const file = await openObjectFile(fileSystem, path, undefined);
      await file?.handle.close();
      if (file?.name.startsWith(prefix) === true) found.push(file);
    }
  }
  return found.sort((left, right) => Buffer.compare(Buffer.from(left.name), Buffer.from(right.name)));
}

async function entriesOf(
  fileSystem: LocalFileSystem,
  directory: string,
): Promise<{ name: string; isDirectory(): boolean; isFile(): boolean }[]> {
  try {
    return await fileSystem.readdir(directory, { withFileTypes: true });
  } catch (error) {
    if (systemCodeOf(error) === "ENOENT") return [];
    throw error;
  }
}
