import { setTimeout as wait } from "node:timers/promises";
import { bodyFrom, checkListPrefix, checkMetadata, checkObjectName } from "@fleetfoot/cache-backend";
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
import { kind, withStoreErrors } from "./failures.ts";
import type { LocalCall } from "./failures.ts";
import { directoryOfPrefix, filePathOf } from "./file-names.ts";
import { hostFileSystem } from "./file-system.ts";
import type { LocalFileSystem } from "./file-system.ts";
import { ObjectReader, openObjectFile } from "./object-file.ts";
import { Room } from "./room.ts";
import type { LocalStoreLimits, PruneResult } from "./room.ts";
import { linkWhereAbsent, removeVersion } from "./conditions.ts";
import { objectsBelow } from "./list-objects.ts";
import { writeObject } from "./write-object.ts";

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

  async function write<Result>(
    path: string,
    call: LocalCall,
    body: PutBody,
    putOptions: PutOptions,
    commit: (temporary: string, facts: ObjectFacts) => Promise<Result>,
  ): Promise<Result> {
    checkMetadata(putOptions.metadata ?? {}, call.object, call);
    await room.makeFor(body.bytes, call.signal);
    return await writeObject({ fileSystem, synchronous, now }, path, call, body, putOptions, commit);
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
          if ("absent" in condition && (await linkWhereAbsent(fileSystem, temporary, path)) === "done") return facts;
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
      const { ifVersion } = operation;
      return onFile("delete", name, operation, async (path, { signal }) => {
        if (ifVersion !== undefined) return removeVersion(path, name, ifVersion, { fileSystem, now, sleep, signal });
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

async function realSleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  try {
    await wait(milliseconds, undefined, signal === undefined ? {} : { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}
