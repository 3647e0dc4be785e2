import { randomUUID } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { bodyFrom, checkListPrefix, checkMetadata, checkObjectName, readExactly } from "@fleetfoot/cache-backend";
import type {
  ByteRange,
  CacheStore,
  DeletesObjects,
  ListedObject,
  ListsObjects,
  ObjectFacts,
  OperationOptions,
  PutBody,
  PutCondition,
  PutOptions,
  PutsConditionally,
  ReadsRanges,
  StoredObject,
} from "@fleetfoot/cache-backend";
import { withClaim } from "./claim.ts";
import { kind, systemCodeOf, withStoreErrors } from "./failures.ts";
import type { LocalCall } from "./failures.ts";
import { directoryOfPrefix, encodeSegment, filePathOf, objectSuffix } from "./file-names.ts";
import { hostFileSystem } from "./file-system.ts";
import type { LocalFileSystem } from "./file-system.ts";
import { ObjectReader, openObjectFile } from "./object-file.ts";
import type { ObjectFile } from "./object-file.ts";
import { Room } from "./room.ts";
import type { LocalStoreLimits, PruneResult } from "./room.ts";
import { encodeTrailer } from "./trailer.ts";

export interface LocalStoreOptions {
  /** Absolute path; created with mode 0700 at the first put. Several processes and hosts may use one directory. */
  readonly directory: string;
  /**
   * Whether a put reaches the disk before it is seen. Without it a crash of the host can lose recent puts, and a file of
   * which only a part was kept counts as absent where its end is missing; with it every put waits for the disk.
   *
   * @default false
   */
  readonly synchronous?: boolean;
  /** What may be kept; whatever was used longest ago makes room. @default everything is kept */
  readonly limits?: LocalStoreLimits;
  /** Epoch milliseconds. @default Date.now */
  readonly now?: () => number;
  /** Waits; rejects with the signal's reason when aborted. @default a timer */
  readonly sleep?: (milliseconds: number, signal?: AbortSignal) => Promise<void>;
  /** @default the file system of this host */
  readonly fileSystem?: LocalFileSystem;
}

/** What a store in a directory can do. */
export type LocalStore = CacheStore & DeletesObjects & ListsObjects & ReadsRanges & PutsConditionally & PrunesObjects;

/** The store can make room by itself. */
export interface PrunesObjects {
  /** Removes what its limits do not allow, and what killed processes have left for a day. */
  prune(options?: OperationOptions): Promise<PruneResult>;
}

/**
 * Creates a store that keeps each object in one file of a directory, with its metadata behind the body: one rename makes
 * both visible at once.
 *
 * @throws {TypeError} the directory is not an absolute path
 */
export function createLocalStore(options: LocalStoreOptions): LocalStore {
  const { directory, synchronous = false, limits = {} } = options;
  const { now = Date.now, sleep = realSleep, fileSystem = hostFileSystem } = options;
  if (!/^(?:\/|[A-Za-z]:[\\/])/.test(directory)) {
    throw new TypeError(`the directory of a local store must be an absolute path, not ${JSON.stringify(directory)}`);
  }

  const room = new Room({ directory, fileSystem, limits, now });

  /** Checks the name, then acts on its file; the only way from a name to a path. */
  function onFile<Result>(
    operation: string,
    name: string,
    { signal }: OperationOptions,
    action: (path: string, call: LocalCall) => Promise<Result>,
  ): Promise<Result> {
    const call = { store: kind, operation, object: name, signal };
    return withStoreErrors(call, async () => {
      checkObjectName(name, call);
      return action(filePathOf(directory, name), call);
    });
  }

  async function opened(
    path: string,
    call: LocalCall,
    rangeOf: (facts: ObjectFacts) => ByteRange | undefined,
  ): Promise<StoredObject | undefined> {
    const file = await openObjectFile(fileSystem, path, call.object);
    if (file === undefined) return undefined;
    const range = rangeOf(file.facts);
    if (range === undefined || call.signal?.aborted === true) {
      await file.handle.close();
      call.signal?.throwIfAborted();
      return undefined;
    }
    await room.touch(path, file.usedAtMs);
    const reader = new ObjectReader(fileSystem, path, file, call);
    return { facts: file.facts, body: bodyFrom(reader.chunks(range), call.signal, () => reader.close()) };
  }

  async function factsAt(path: string, name: string): Promise<ObjectFacts | undefined> {
    const file = await openObjectFile(fileSystem, path, name);
    await file?.handle.close();
    return file?.facts;
  }

  /** Writes body and trailer beside the place where they belong, lets `commit` put them there, and leaves nothing else. */
  async function write<Result>(
    path: string,
    call: LocalCall,
    body: PutBody,
    { metadata = {}, onProgress = () => {} }: PutOptions,
    commit: (temporary: string, facts: ObjectFacts) => Promise<Result>,
  ): Promise<Result> {
    checkMetadata(metadata, call.object, call);
    await room.makeFor(body.bytes, call.signal);
    const temporary = join(dirname(path), temporaryName());
    const file = await createFile(temporary);
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
      if (synchronous) await syncDirectory(dirname(path));
      return result;
    } finally {
      await fileSystem.rm(temporary, { force: true });
    }
  }

  async function createFile(path: string): Promise<FileHandle> {
    await fileSystem.mkdir(dirname(path), { recursive: true, mode: 0o700 });
    return fileSystem.open(path, "wx", 0o600);
  }

  async function syncDirectory(path: string): Promise<void> {
    const handle = await fileSystem.open(path, "r");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  }

  /** A hard link appears only where there is no file: no claim is needed, and a plain put cannot slip in between. */
  async function commitWhereAbsent(temporary: string, path: string): Promise<"done" | "occupied" | "unknown"> {
    try {
      await fileSystem.link(temporary, path);
      return "done";
    } catch (error) {
      if (systemCodeOf(error) === "EEXIST") return "occupied";
      // File systems without hard links say so in many ways; the claim works on all of them.
      return "unknown";
    }
  }

  return {
    kind,
    head(name, operation = {}) {
      return onFile("head", name, operation, (path) => factsAt(path, name));
    },
    get(name, operation = {}) {
      return onFile("get", name, operation, (path, call) =>
        opened(path, call, ({ bytes }) => ({ start: 0, end: bytes })),
      );
    },
    getRange(name, range, operation = {}) {
      return onFile("getRange", name, operation, (path, call) =>
        opened(path, call, ({ version }) => ((range.version ?? version) === version ? range : undefined)),
      );
    },
    put(name, body, operation: PutOptions = {}) {
      return onFile("put", name, operation, (path, call) =>
        write(path, call, body, operation, async (temporary, facts) => {
          await fileSystem.rename(temporary, path);
          return facts;
        }),
      );
    },
    putIf(name, body, condition: PutCondition, operation: PutOptions = {}) {
      const allows = (current: ObjectFacts | undefined): boolean =>
        "absent" in condition ? current === undefined : current?.version === condition.version;
      return onFile("putIf", name, operation, async (path, call) => {
        checkMetadata(operation.metadata ?? {}, name, call);
        if (!allows(await factsAt(path, name))) return undefined;
        return write(path, call, body, operation, async (temporary, facts) => {
          if ("absent" in condition && (await commitWhereAbsent(temporary, path)) === "done") return facts;
          const commit = async (): Promise<ObjectFacts | undefined> => {
            if (!allows(await factsAt(path, name))) return undefined;
            await fileSystem.rename(temporary, path);
            return facts;
          };
          return withClaim(path, commit, { fileSystem, now, sleep, signal: call.signal });
        });
      });
    },
    prune({ signal } = {}) {
      return withStoreErrors({ store: kind, operation: "prune", object: "", signal }, () => room.prune(0, signal));
    },
    delete(name, operation = {}) {
      return onFile("delete", name, operation, async (path) => {
        if ((await factsAt(path, name)) === undefined) return false;
        await fileSystem.rm(path, { force: true });
        return true;
      });
    },
    async *list(prefix, { signal } = {}): AsyncGenerator<ListedObject, void, void> {
      const call = { store: kind, operation: "list", object: prefix, signal };
      const found = await withStoreErrors(call, async () => {
        checkListPrefix(prefix, call);
        return objectsBelow(fileSystem, directoryOfPrefix(directory, prefix), prefix, signal);
      });
      for (const { name, facts } of found) {
        signal?.throwIfAborted();
        yield { name, bytes: facts.bytes, modifiedAtMs: facts.modifiedAtMs };
      }
    },
  };
}

/** Not a segment that encoding gives, and unlike any other host's or process's. */
function temporaryName(): string {
  return `~tmp-${encodeSegment(hostname()).slice(0, 64)}-${process.pid}-${randomUUID()}`;
}

async function writeAll(file: FileHandle, chunk: Uint8Array): Promise<void> {
  for (let written = 0; written < chunk.byteLength;) {
    written += (await file.write(chunk, written, chunk.byteLength - written)).bytesWritten;
  }
}

type Found = Omit<ObjectFile, "handle">;

/** Names are read from the files, since long ones are not spelled out in their paths; hence sorted at the end. */
async function objectsBelow(
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

async function realSleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  try {
    await wait(milliseconds, undefined, signal === undefined ? {} : { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}
