import { bodyFrom, readExactly } from "./bodies.ts";
import { checkListPrefix, checkMetadata, checkObjectName } from "./object-name.ts";
import type {
  ByteRange,
  CacheStore,
  DeletesObjects,
  ListedObject,
  ListsObjects,
  ObjectFacts,
  OperationOptions,
  PutBody,
  PutOptions,
  PutsConditionally,
  ReadsRanges,
  StoredObject,
} from "./store.ts";

export interface MemoryStoreOptions {
  /** Epoch milliseconds. @default Date.now */
  readonly now?: () => number;
}

/** Everything that a store in this process can do. */
export type MemoryStore = CacheStore & DeletesObjects & ListsObjects & ReadsRanges & PutsConditionally;

/** Creates a store that keeps its objects in this process: for tests, and as the plainest example of the contract. */
export function createMemoryStore(options: MemoryStoreOptions = {}): MemoryStore {
  const { now = Date.now } = options;
  const objects = new Map<string, KeptObject>();
  let puts = 0;

  async function putWhen(
    operation: string,
    name: string,
    body: PutBody,
    allowed: (current: KeptObject | undefined) => boolean,
    { signal, metadata = {}, onProgress = () => {} }: PutOptions = {},
  ): Promise<ObjectFacts | undefined> {
    const call = { store: kind, operation };
    checkObjectName(name, call);
    checkMetadata(metadata, name, call);
    signal?.throwIfAborted();
    if (!allowed(objects.get(name))) return undefined;
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of readExactly(body, { ...call, object: name }, signal)) {
      chunks.push(chunk.slice());
      bytes += chunk.byteLength;
      onProgress({ bytes, totalBytes: body.bytes });
    }
    signal?.throwIfAborted();
    // Others may have put while the body was read; from here on nothing waits.
    if (!allowed(objects.get(name))) return undefined;
    puts += 1;
    const facts = { bytes: body.bytes, modifiedAtMs: now(), version: `put-${puts}`, metadata: { ...metadata } };
    objects.set(name, { facts, chunks });
    return facts;
  }

  function find(operation: string, name: string, { signal }: OperationOptions = {}): KeptObject | undefined {
    checkObjectName(name, { store: kind, operation });
    signal?.throwIfAborted();
    return objects.get(name);
  }

  return {
    kind,
    async head(name, operation) {
      return find("head", name, operation)?.facts;
    },
    async get(name, operation) {
      const object = find("get", name, operation);
      return object && opened(object, { start: 0, end: object.facts.bytes }, operation);
    },
    async getRange(name, range, operation) {
      const object = find("getRange", name, operation);
      if (object === undefined || (range.version ?? object.facts.version) !== object.facts.version) return undefined;
      return opened(object, range, operation);
    },
    async put(name, body, operation) {
      const facts = await putWhen("put", name, body, () => true, operation);
      if (facts === undefined) throw new Error("unreachable: an unconditional put was refused");
      return facts;
    },
    putIf(name, body, condition, operation) {
      const allowed = (current: KeptObject | undefined): boolean =>
        "absent" in condition ? current === undefined : current?.facts.version === condition.version;
      return putWhen("putIf", name, body, allowed, operation);
    },
    async delete(name, operation) {
      const version = find("delete", name, operation)?.facts.version;
      return version !== undefined && (operation?.ifVersion ?? version) === version && objects.delete(name);
    },
    async *list(prefix, { signal } = {}): AsyncGenerator<ListedObject, void, void> {
      checkListPrefix(prefix, { store: kind, operation: "list" });
      const names = [...objects.keys()].filter((name) => name.startsWith(prefix)).sort(compareNames);
      for (const name of names) {
        signal?.throwIfAborted();
        const facts = objects.get(name)?.facts;
        if (facts !== undefined) yield { name, bytes: facts.bytes, modifiedAtMs: facts.modifiedAtMs };
      }
    },
  };
}

const kind = "memory";

interface KeptObject {
  readonly facts: ObjectFacts;
  readonly chunks: readonly Uint8Array[];
}

function opened(object: KeptObject, range: ByteRange, { signal }: OperationOptions = {}): StoredObject {
  return { facts: object.facts, body: bodyFrom(cut(object.chunks, range), signal) };
}

async function* cut(chunks: readonly Uint8Array[], { start, end }: ByteRange): AsyncGenerator<Uint8Array, void, void> {
  let offset = 0;
  for (const chunk of chunks) {
    const part = chunk.slice(Math.max(0, start - offset), Math.max(0, end - offset));
    offset += chunk.byteLength;
    if (part.byteLength > 0) yield part;
  }
}

/** Byte order of UTF-8, which is not the order of UTF-16 units that `sort` has by default. */
function compareNames(left: string, right: string): number {
  return Buffer.compare(Buffer.from(left), Buffer.from(right));
}
