import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Root of the repository. */
export const repositoryFolder: string = join(import.meta.dirname, "../../..");

/** Where built programs, build caches and locks live; ignored by git, safe to delete at any time. */
export const systemsFolder: string = join(repositoryFolder, ".systems");

/** Creates a fresh data folder. Its path stays short, because a Unix socket's path may have 107 bytes only. */
export function createDataFolder(system: string): Promise<string> {
  return mkdtemp(join(tmpdir(), `fleetfoot-${system}-`));
}
