import type { CacheStore, DeletesObjects, ListsObjects } from "@fleetfoot/cache-backend";
import { isDigest } from "../reference/grammar.ts";
import type { Digest } from "../reference/grammar.ts";
import { blobName, maxRecordBytes } from "./layout.ts";
import { readDigest, readTag } from "./record-texts.ts";
import { readWhole } from "./whole-object.ts";

/** Where a record belongs to. */
export interface RecordPlace {
  readonly upstream: string;
  readonly name: string;
  /** A tag, or a digest. */
  readonly reference: string;
}

/** What was removed from a store. */
export interface PurgedObjects {
  readonly records: readonly RecordPlace[];
  readonly blobs: readonly Digest[];
}

/**
 * Removes from a store every record that fits, and every blob that only these led to. What another mirror writes meanwhile may
 * lose a blob; it fetches that again.
 */
export async function purgeStore(
  store: CacheStore & DeletesObjects & ListsObjects,
  fits: (record: RecordPlace) => boolean,
  signal: AbortSignal,
): Promise<PurgedObjects> {
  const doomed: Found[] = [];
  const blobs = new Set<Digest>();
  await forEach(recordsIn(store, signal), signal, async (found) => {
    if (!fits(found.place)) return;
    doomed.push(found);
    for (const digest of await ledTo(store, found, signal)) blobs.add(digest);
  });
  if (blobs.size > 0) {
    // The store may hold millions, so they are listed again rather than remembered.
    await forEach(recordsIn(store, signal), signal, async (found) => {
      // Tags lead to what their manifests' own records tell.
      if (fits(found.place) || !isDigest(found.place.reference)) return;
      for (const digest of await ledTo(store, found, signal)) blobs.delete(digest);
    });
  }
  await forEach(doomed, signal, ({ name }) => store.delete(name, { signal }));
  await forEach(blobs, signal, (digest) => store.delete(blobName(digest), { signal }));
  return { records: doomed.map(({ place }) => place), blobs: [...blobs] };
}

/** What the name of a record says; undefined for something else. */
export function placeOfRecord(path: string): RecordPlace | undefined {
  const [, upstream, name, kind, last] = /^meta\/([^/]+)\/(.+)\/_(tags|digests)\/([^/]+)$/.exec(path) ?? [];
  if (upstream === undefined || name === undefined || last === undefined) return undefined;
  return { upstream, name, reference: kind === "tags" ? last : last.replace("-", ":") };
}

interface Found {
  readonly name: string;
  readonly place: RecordPlace;
}

async function* recordsIn(store: ListsObjects, signal: AbortSignal): AsyncGenerator<Found, void, void> {
  for await (const { name } of store.list("meta/", { signal })) {
    const place = placeOfRecord(name);
    if (place !== undefined) yield { name, place };
  }
}

/** Digests that a record is about, or that its manifest lists. */
async function ledTo(
  store: CacheStore,
  { name, place: { reference } }: Found,
  signal: AbortSignal,
): Promise<readonly Digest[]> {
  const text = (await readWhole(store, name, maxRecordBytes, signal))?.content?.toString();
  if (text === undefined) return [];
  const tag = isDigest(reference) ? undefined : readTag(text);
  if (!isDigest(reference)) return tag === undefined ? [] : [tag.digest];
  return [reference, ...(readDigest(text)?.manifest?.children ?? []).map(({ digest }) => digest)];
}

/** Some at the same time, since each waits for the store; no more are taken from where they come from, and none after a failure. */
async function forEach<Item>(
  items: AsyncIterable<Item> | Iterable<Item>,
  signal: AbortSignal,
  action: (item: Item) => Promise<unknown>,
): Promise<void> {
  const running = new Set<Promise<void>>();
  const failures: unknown[] = [];
  const start = async (item: Item): Promise<void> => {
    try {
      await action(item);
    } catch (error) {
      failures.push(error);
    }
  };
  try {
    for await (const item of items) {
      signal.throwIfAborted();
      if (failures.length > 0) break;
      const task = start(item).then(() => void running.delete(task));
      running.add(task);
      if (running.size >= atOnce) await Promise.race(running);
    }
  } finally {
    await Promise.all(running);
  }
  if (failures.length > 0) throw failures[0];
}

const atOnce = 16;
