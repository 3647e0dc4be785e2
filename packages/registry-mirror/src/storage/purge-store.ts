import type { CacheStore, DeletesObjects, ListsObjects } from "@fleetfoot/cache-backend";
import { isDigest } from "../reference/grammar.ts";
import type { Digest } from "../reference/grammar.ts";
import { Slots } from "../slots.ts";
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
  const kept: Found[] = [];
  for await (const { name } of store.list("meta/", { signal })) {
    const place = placeOfRecord(name);
    if (place !== undefined) (fits(place) ? doomed : kept).push({ name, place });
  }
  const blobs = new Set((await ledTo(store, doomed, signal)).flat());
  // Tags lead to what their manifests' own records tell.
  const others = kept.filter(({ place }) => blobs.size > 0 && isDigest(place.reference));
  for (const digest of (await ledTo(store, others, signal)).flat()) blobs.delete(digest);
  await eachOf(doomed, ({ name }) => store.delete(name, { signal }));
  await eachOf([...blobs], (digest) => store.delete(blobName(digest), { signal }));
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

/** Digests that records are about, or that their manifests list. */
function ledTo(store: CacheStore, records: readonly Found[], signal: AbortSignal): Promise<readonly Digest[][]> {
  return eachOf(records, async ({ name, place: { reference } }) => {
    const text = (await readWhole(store, name, maxRecordBytes, signal))?.content?.toString();
    if (text === undefined) return [];
    const tag = isDigest(reference) ? undefined : readTag(text);
    if (!isDigest(reference)) return tag === undefined ? [] : [tag.digest];
    return [reference, ...(readDigest(text)?.manifest?.children ?? []).map(({ digest }) => digest)];
  });
}

/** Some at the same time, since each waits for the store. */
async function eachOf<Item, Result>(
  items: readonly Item[],
  action: (item: Item) => Promise<Result>,
): Promise<readonly Result[]> {
  const slots = new Slots(atOnce);
  return Promise.all(
    items.map(async (item) => {
      const giveBack = await slots.take();
      try {
        return await action(item);
      } finally {
        giveBack();
      }
    }),
  );
}

const atOnce = 16;
