import type { Dir, Stats } from "node:fs";
import { opendir, stat } from "node:fs/promises";
import { join } from "node:path";
import { isDigest } from "../reference/grammar.ts";
import type { Digest } from "../reference/grammar.ts";
import type { DiskCalls } from "./disk-calls.ts";
import { blobName } from "./layout.ts";
import { isAbsence } from "./system-error.ts";

/** A blob that an earlier process has left. */
export interface FoundBlob {
  readonly digest: Digest;
  readonly bytes: number;
  readonly modifiedAtMs: number;
}

/** Looks for blobs below a mirror's directory; some at a time, however many there are, and each call for no longer than the disk may take. */
export async function* findBlobs(
  directory: string,
  calls: DiskCalls,
): AsyncGenerator<readonly FoundBlob[], void, void> {
  for (const algorithm of ["sha256", "sha512"]) {
    const top = join(directory, "blobs", algorithm);
    for await (const shards of namesIn(top, calls)) {
      for (const shard of shards) {
        for await (const names of namesIn(join(top, shard), calls)) {
          const digests = names.map((hex) => `${algorithm}:${hex}`).filter(isDigest);
          const found = await Promise.all(digests.map((digest) => calls.run(() => look(directory, digest))));
          yield found.filter((blob) => blob !== undefined);
        }
      }
    }
  }
}

async function look(directory: string, digest: Digest): Promise<FoundBlob | undefined> {
  let facts: Stats;
  try {
    facts = await stat(join(directory, blobName(digest)));
  } catch (error) {
    // Somebody has put it elsewhere, or takes it away.
    if (isAbsence(error)) return undefined;
    throw error;
  }
  return facts.isFile() ? { digest, bytes: facts.size, modifiedAtMs: facts.mtimeMs } : undefined;
}

async function* namesIn(directory: string, calls: DiskCalls): AsyncGenerator<readonly string[], void, void> {
  const onLate = (late: Dir): void => void calls.afterwards(() => late.close());
  let opened: Dir;
  try {
    opened = await calls.run(() => opendir(directory, { bufferSize: atOnce }), { onLate });
  } catch (error) {
    if (isAbsence(error)) return;
    throw error;
  }
  try {
    for (;;) {
      const names = await calls.run(() => someNames(opened));
      if (names.length === 0) return;
      yield names;
    }
  } finally {
    await calls.afterwards(() => opened.close());
  }
}

async function someNames(directory: Dir): Promise<readonly string[]> {
  const names: string[] = [];
  while (names.length < atOnce) {
    const entry = await directory.read();
    if (entry === null) break;
    names.push(entry.name);
  }
  return names;
}

const atOnce = 128;
