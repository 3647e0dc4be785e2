import { lstat, readdir, readFile, readlink } from "node:fs/promises";
import { join, relative } from "node:path";

/**
 * Compares a restored tree with its source: names, kinds, modes, times, links and content. A row of a program that lost
 * something has no time.
 *
 * @throws {Error} they differ
 */
export async function verify(source: string, restored: string): Promise<void> {
  const names = await list(source);
  const found = await list(restored);
  if (names.length !== found.length) throw new Error(`${restored} has ${found.length} entries, not ${names.length}`);
  for (const name of names) {
    const [wanted, got] = await Promise.all([describe(join(source, name)), describe(join(restored, name))]);
    if (wanted.facts !== got.facts || !wanted.content.equals(got.content)) {
      throw new Error(`${name} was not restored as it was: ${got.facts}, not ${wanted.facts}`);
    }
  }
}

/** With their types: a plain list of names goes through links to folders, for ever where they lead in circles. */
async function list(root: string): Promise<string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  return entries.map(({ parentPath, name }) => relative(root, join(parentPath, name))).sort();
}

async function describe(path: string): Promise<{ readonly facts: string; readonly content: Buffer }> {
  const stats = await lstat(path);
  const facts = `${stats.mode.toString(8)} ${Math.floor(stats.mtimeMs / 1000)} ${stats.isDirectory() ? 0 : stats.size}`;
  if (stats.isSymbolicLink()) return { facts, content: await readlink(path, { encoding: "buffer" }) };
  return { facts, content: stats.isFile() ? await readFile(path) : Buffer.alloc(0) };
}
