import type { Digest } from "../reference/grammar.ts";
import { freshUntil, tagLifetime } from "../routing/freshness.ts";
import type { Registries } from "../routing/registries.ts";
import type { UpstreamImage } from "../routing/select.ts";
import type { Disk } from "../storage/disk.ts";
import type { RecordPlace } from "../storage/purge-store.ts";
import type { Records } from "../storage/records.ts";
import type { SharedStore } from "../storage/shared-store.ts";

/** One thing that is cached. */
export interface CachedEntry {
  readonly upstream: string;
  readonly name: string;
  /** Tag or digest. */
  readonly reference: string;
  readonly digest: Digest;
  readonly mediaType: string | undefined;
  readonly bytes: number;
  /** Epoch milliseconds; undefined for a digest, which never changes. */
  readonly fetchedAtMs: number | undefined;
  readonly checkedAtMs: number | undefined;
  /** Epoch milliseconds until which a tag is believed; undefined for ever. */
  readonly freshUntilMs: number | undefined;
  /** Epoch milliseconds; undefined when its bytes are not on this disk. */
  readonly lastUsedAtMs: number | undefined;
  /** Virtual registries in which this upstream is asked first for the name. */
  readonly winnerOf: readonly string[];
}

/** What is meant by a list or a purge. */
export interface EntryFilter {
  /** Id of an upstream. @default all */
  readonly upstream?: string;
  /** The whole name. @default all */
  readonly name?: string;
  /** A tag or a digest. @default all */
  readonly reference?: string;
  /** A part of the name. @default all */
  readonly search?: string;
}

export interface InventoryOptions {
  readonly registries: Registries;
  readonly records: Records;
  readonly disk: Disk;
  readonly shared: SharedStore;
  /** Virtual registries in which an upstream is asked first for a name. */
  readonly registriesWonBy: (image: UpstreamImage) => readonly string[];
  /** Called for every repository of which something is forgotten. */
  readonly onForgotten: (image: UpstreamImage) => void;
  /** Removes a blob, or a manifest with what is kept of it elsewhere. */
  readonly remove: (digest: Digest) => Promise<void>;
}

/** What is cached, for operators. */
export class Inventory {
  readonly #options: InventoryOptions;

  constructor(options: InventoryOptions) {
    this.#options = options;
  }

  /** Everything that fits, sorted by name. */
  entries(filter: EntryFilter): readonly CachedEntry[] {
    const { disk, records, registries, registriesWonBy } = this.#options;
    const found: CachedEntry[] = [];
    for (const { digests, name, tags, upstream: id } of records.repositories()) {
      const upstream = registries.upstreams.get(id);
      if (upstream === undefined || !fits(filter, id, name)) continue;
      const winnerOf = registriesWonBy({ upstream, name });
      const isVirtual = winnerOf.length > 0;
      for (const [tag, record] of tags) {
        const until = freshUntil(record, tagLifetime(upstream, tag, isVirtual));
        found.push({
          upstream: id,
          name,
          reference: tag,
          digest: record.digest,
          mediaType: record.mediaType,
          bytes: record.bytes,
          fetchedAtMs: record.fetchedAtMs,
          checkedAtMs: record.checkedAtMs,
          freshUntilMs: Number.isFinite(until) ? until : undefined,
          lastUsedAtMs: disk.lastUsedAtMs(record.digest),
          winnerOf,
        });
      }
      for (const [digest, { bytes, manifest }] of digests) {
        found.push({
          upstream: id,
          name,
          reference: digest,
          digest,
          mediaType: manifest?.mediaType,
          bytes,
          fetchedAtMs: undefined,
          checkedAtMs: undefined,
          freshUntilMs: undefined,
          lastUsedAtMs: disk.lastUsedAtMs(digest),
          winnerOf,
        });
      }
    }
    const wanted = found.filter(({ reference }) => filter.reference === undefined || reference === filter.reference);
    return wanted.sort((one, other) => compare(keyOf(one), keyOf(other)));
  }

  /** Forgets what fits; blobs that something else refers to stay. Resolves to the number of entries. */
  async purge(filter: EntryFilter): Promise<number> {
    const { onForgotten, records, registries, remove, shared } = this.#options;
    // First, so that nothing comes back from there.
    const gone = await shared.purge(({ name, reference, upstream }) => {
      const isWanted = filter.reference === undefined || reference === filter.reference;
      return isWanted && fits(filter, upstream, name);
    });
    const purged = new Set(gone.map((place) => keyOf(place)));
    const suspects = new Set<Digest>();
    for (const entry of this.entries(filter)) {
      const { digest, name, reference, upstream: id } = entry;
      purged.add(keyOf(entry));
      const upstream = registries.upstreams.get(id);
      if (upstream === undefined) continue;
      const image = { upstream, name };
      suspects.add(digest);
      for (const child of records.digest(image, digest)?.manifest?.children ?? []) suspects.add(child.digest);
      if (reference === digest) records.forget(image, { digest });
      else records.forget(image, { tag: reference });
      onForgotten(image);
    }
    for (const digest of suspects) if (!records.isReferredTo(digest)) await remove(digest);
    return purged.size;
  }
}

function fits({ name, search, upstream }: EntryFilter, actualUpstream: string, actualName: string): boolean {
  if (upstream !== undefined && upstream !== actualUpstream) return false;
  if (name !== undefined && name !== actualName) return false;
  return search === undefined || actualName.includes(search);
}

function keyOf({ name, reference, upstream }: RecordPlace): string {
  return `${name}\n${reference}\n${upstream}`;
}

function compare(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}
