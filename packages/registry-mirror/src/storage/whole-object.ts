import { bodyFrom, readChunks } from "@fleetfoot/cache-backend";
import type { CacheStore, ObjectFacts, PutBody } from "@fleetfoot/cache-backend";

/** An object that was read as a whole. */
export interface WholeObject {
  readonly facts: ObjectFacts;
  /** Undefined when it is longer than wanted. */
  readonly content: Buffer | undefined;
}

/** Reads a small object; undefined when there is none. */
export async function readWhole(
  store: CacheStore,
  name: string,
  maxBytes: number,
  signal?: AbortSignal,
): Promise<WholeObject | undefined> {
  const object = await store.get(name, { signal });
  if (object === undefined) return undefined;
  const { body, facts } = object;
  if (facts.bytes > maxBytes) {
    await body.cancel();
    return { facts, content: undefined };
  }
  const content = Buffer.allocUnsafeSlow(facts.bytes);
  let filled = 0;
  for await (const chunk of readChunks(body, signal)) {
    if (filled + chunk.byteLength > facts.bytes) throw new Error("an object is longer than the store tells");
    content.set(chunk, filled);
    filled += chunk.byteLength;
  }
  if (filled < facts.bytes) throw new Error("an object is shorter than the store tells");
  return { facts, content };
}

/** What is to be put, from memory. */
export function bodyOfBytes(content: Uint8Array): PutBody {
  return { bytes: content.byteLength, open: () => bodyFrom(single(content)) };
}

async function* single(content: Uint8Array): AsyncGenerator<Uint8Array, void, void> {
  yield content;
}
