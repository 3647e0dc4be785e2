import { randomUUID } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import { readExactly } from "@fleetfoot/cache-backend";
import type { ObjectFacts, PutBody, PutOptions } from "@fleetfoot/cache-backend";
import { systemCodeOf } from "./failures.ts";
import type { LocalCall } from "./failures.ts";
import { encodeSegment } from "./file-names.ts";
import type { LocalFileSystem } from "./file-system.ts";
import { encodeTrailer } from "./trailer.ts";

/** How objects are written. */
export interface WriteSettings {
  readonly fileSystem: LocalFileSystem;
  /** Whether an object reaches the disk before it is seen. */
  readonly synchronous: boolean;
  /** Epoch milliseconds. */
  readonly now: () => number;
}

/** Writes body and trailer beside the place where they belong, lets `commit` put them there, and leaves nothing else. */
export async function writeObject<Result>(
  { fileSystem, synchronous, now }: WriteSettings,
  path: string,
  call: LocalCall,
  body: PutBody,
  { metadata = {}, onProgress = () => {} }: PutOptions,
  commit: (temporary: string, facts: ObjectFacts) => Promise<Result>,
): Promise<Result> {
  const temporary = temporaryPath(path);
  await makeDirectories(fileSystem, dirname(path));
  const file = await fileSystem.open(temporary, "wx", 0o600);
  try {
    const facts = { bytes: body.bytes, modifiedAtMs: now(), version: randomUUID(), metadata: { ...metadata } };
    try {
      let written = 0;
      for await (const chunk of readExactly(body, call, call.signal)) {
        await writeAll(file, chunk);
        written += chunk.byteLength;
        onProgress({ bytes: written, totalBytes: body.bytes });
      }
      const { version, modifiedAtMs } = facts;
      await writeAll(file, encodeTrailer({ name: call.object, version, modifiedAtMs, metadata }));
      if (synchronous) await file.sync();
    } finally {
      await file.close();
    }
    call.signal?.throwIfAborted();
    const result = await commit(temporary, facts);
    if (synchronous) await syncDirectory(fileSystem, dirname(path));
    return result;
  } finally {
    await fileSystem.rm(temporary, { force: true });
  }
}

/** Where nothing can be written, Node says of several directories at once that one is absent; of a single one the system says what is wrong. */
async function makeDirectories(fileSystem: LocalFileSystem, path: string): Promise<void> {
  try {
    await fileSystem.mkdir(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    if (systemCodeOf(error) !== "ENOENT" || dirname(path) === path) throw error;
    await makeDirectories(fileSystem, dirname(path));
    await fileSystem.mkdir(path, { mode: 0o700 }).catch((reason: unknown) => {
      // By another put, meanwhile.
      if (systemCodeOf(reason) !== "EEXIST") throw reason;
    });
  }
}

/** Beside the object's file; not a segment that encoding gives, and unlike any other host's or process's. */
export function temporaryPath(path: string): string {
  const name = `~tmp-${encodeSegment(hostname()).slice(0, 64)}-${process.pid}-${randomUUID()}`;
  return join(dirname(path), name);
}

async function writeAll(file: FileHandle, chunk: Uint8Array): Promise<void> {
  for (let written = 0; written < chunk.byteLength;) {
    written += (await file.write(chunk, written, chunk.byteLength - written)).bytesWritten;
  }
}

async function syncDirectory(fileSystem: LocalFileSystem, path: string): Promise<void> {
  const handle = await fileSystem.open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
