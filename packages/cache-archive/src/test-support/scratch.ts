import { mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

/** A directory that is gone when it is disposed of. */
export interface Scratch extends AsyncDisposable {
  readonly path: string;
  /** Absolute path of a name in it. */
  at(...names: string[]): string;
}

export async function makeScratch(): Promise<Scratch> {
  const directory = await realpath(await mkdtemp(path.join(tmpdir(), "cache-archive-")));
  return {
    path: directory,
    at: (...names) => path.join(directory, ...names),
    [Symbol.asyncDispose]: async () => await rm(directory, { recursive: true, force: true }),
  };
}
