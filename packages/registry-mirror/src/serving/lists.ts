import type { Clock } from "../clock.ts";
import { withDeadline } from "../clock.ts";
import { UpstreamError } from "../errors.ts";
import { ExpiringMap } from "../expiring-map.ts";
import type { Digest } from "../reference/grammar.ts";
import { manifestAccept, manifestTypes } from "../reference/manifest.ts";
import type { UpstreamImage } from "../routing/select.ts";
import { orAbort, SingleFlight } from "../single-flight.ts";
import { askerKey } from "../upstream/asker.ts";
import type { Asker } from "../upstream/asker.ts";
import type { UpstreamClient } from "../upstream/client.ts";
import type { Access } from "./permission/access.ts";
import { ListTurn, ListTurns } from "./list-turn.ts";
import type { Openings } from "./permission/openings.ts";
import { tagListOf } from "./tag-list.ts";
import type { TagList } from "./tag-list.ts";
import type { Withdrawals } from "./permission/withdrawals.ts";

export interface ListsOptions {
  readonly access: Access;
  readonly clientOf: (image: UpstreamImage) => UpstreamClient;
  readonly openings: Openings;
  readonly withdrawals: Withdrawals;
  readonly clock: Clock;
  readonly totalMs: number;
}

/** A list that changes upstream, such as the tags of a name; believed for a minute. */
export class Lists {
  readonly #options: ListsOptions;
  readonly #known: ExpiringMap<List>;
  readonly #fetches = new SingleFlight<List>();
  readonly #turns = new ListTurns();

  constructor(options: ListsOptions) {
    this.#options = options;
    this.#known = new ExpiringMap(1000, () => options.clock.now(), {
      maxBytes: maxKnownBytes,
      bytesOf: ({ bytes }) => bytes,
    });
  }

  /**
   * Every tag of a name, sorted by bytes; those that are cached when the upstream cannot be asked and its consent is not needed.
   *
   * @throws {UpstreamError} it says that there is no such name, it has more tags than can be listed, or nothing is known of it either
   */
  async tags(image: UpstreamImage, asker: Asker, signal: AbortSignal): Promise<TagList> {
    try {
      return (await this.#list(image, "tags/list?n=1000", "tags", asker, signal)).tags;
    } catch (error) {
      const { access, openings } = this.#options;
      // Without the upstream nobody knows whether this client may have them.
      const known = access.isPerClient(image) ? [] : openings.tags(image);
      const isAnswer = !(error instanceof UpstreamError) || error.isDefinite || error instanceof HeldListError;
      if (isAnswer || known.length === 0) throw error;
      return tagListOf(known);
    }
  }

  /**
   * What refers to a digest, as descriptors: by the API, or by the tag that clients use where there is none.
   *
   * @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md#referrers-tag-schema
   */
  async referrers(
    image: UpstreamImage,
    digest: Digest,
    asker: Asker,
    signal: AbortSignal,
  ): Promise<readonly unknown[]> {
    for (const resource of [`referrers/${digest}`, `manifests/${fallbackTag(digest)}`]) {
      try {
        return (await this.#list(image, resource, "manifests", asker, signal)).entries;
      } catch (error) {
        if (!(error instanceof UpstreamError) || error.code !== "absent") throw error;
      }
    }
    return [];
  }

  #list(image: UpstreamImage, resource: string, field: string, asker: Asker, signal: AbortSignal): Promise<List> {
    const { clock, openings, totalMs, withdrawals } = this.#options;
    const key = `${openings.keyOf(image)} ${resource} ${askerKey(asker)}`;
    const known = this.#known.get(key);
    if (known !== undefined) return Promise.resolve(known);
    const { result } = this.#fetches.run(key, async () => {
      const turn = new ListTurn(this.#turns, image.upstream.id);
      const late = (): Error =>
        turn.isWaitedFor ? new BusyError(image) : failure(image, "timeout", "it did not answer in time");
      try {
        const list = await withDeadline(clock, totalMs, late, (inTime) =>
          this.#pages({ image, resource, field, asker, turn, signal: inTime }).finally(() => turn.end()),
        );
        this.#known.set(key, list, knownMs);
        return list;
      } catch (error) {
        if (error instanceof UpstreamError && !(error instanceof BusyError)) withdrawals.noteFailure(image, error);
        throw error;
      }
    });
    return orAbort(result, signal);
  }

  async #pages({ asker, field, image, resource: first, signal, turn }: Reading): Promise<List> {
    const entries: unknown[] = [];
    let bytes = 0;
    let resource: string | undefined = first;
    for (let page = 0; resource !== undefined; page += 1) {
      // A part would be taken for all of it.
      if (page === maxPages)
        throw new LongListError(image, `more than ${maxPages} pages, ${entries.length} entries so far`);
      const headers = { accept: first.startsWith("tags/") ? "application/json" : manifestAccept };
      const kind = first.startsWith("manifests/") ? "manifest" : "list";
      const client = this.#options.clientOf(image);
      const answer = await client.send({ method: "GET", resource, name: image.name, kind, asker, headers, signal });
      try {
        const text = await readPage(image, answer.body, (read) => turn.goOnTo(bytes + read, signal));
        bytes += text.byteLength;
        if (bytes > maxListBytes)
          throw new LongListError(image, `above ${mebibytes(maxListBytes)}, ${entries.length} entries so far`);
        // They may be more than a call takes arguments.
        for (const entry of entriesOf(parsed(image, text), field)) entries.push(entry);
      } finally {
        answer.discard();
      }
      resource = nextResource(answer.headers["link"], image.name);
    }
    if (field !== "tags") return { entries, tags: noTags, bytes };
    const tags = await tagListOf(entries);
    for (const piece of tags.json) bytes += piece.byteLength;
    return { entries: [], tags, bytes };
  }
}

/** One page of a sorted list. */
export interface Page {
  readonly entries: readonly string[];
  /** Query of the next page. */
  readonly next: string | undefined;
}

/**
 * Cuts a page out of a list.
 *
 * @param query - `n` limits, `last` is the entry after which the page begins
 * @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-tags
 */
export function pageOf(list: readonly string[], query: URLSearchParams, defaultCount: number): Page {
  const last = query.get("last");
  const start = last === null ? 0 : firstAfter(list, last);
  const wanted = query.get("n");
  const count = wanted !== null && /^\d{1,9}$/.test(wanted) ? Number(wanted) : defaultCount;
  const entries = list.slice(start, start + count);
  const lastEntry = entries.at(-1);
  if (lastEntry === undefined || start + entries.length === list.length) return { entries, next: undefined };
  return { entries, next: String(new URLSearchParams({ n: String(count), last: lastEntry })) };
}

function firstAfter(list: readonly string[], last: string): number {
  let [start, end] = [0, list.length];
  while (start < end) {
    const middle = Math.floor((start + end) / 2);
    if ((list[middle] ?? "") > last) end = middle;
    else start = middle + 1;
  }
  return start;
}

/** Sorts names by bytes, without duplicates; they are ASCII, so that texts compare like their bytes. */
export function sorted(list: readonly string[]): readonly string[] {
  return [...new Set(list)].sort();
}

/** The document that answers a question for referrers. */
export function referrersIndex(manifests: readonly unknown[], artifactType: string | null): Uint8Array {
  const wanted =
    artifactType === null ? manifests : manifests.filter((entry) => fieldOf(entry, "artifactType") === artifactType);
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: manifestTypes.ociIndex, manifests: wanted }));
}

const knownMs = 60_000;
const maxPages = 200;
const maxPageBytes = 4 * 1024 * 1024;
/** Of all pages of one list. */
const maxListBytes = 32 * 1024 * 1024;
const maxKnownBytes = 64 * 1024 * 1024;

interface Reading {
  readonly image: UpstreamImage;
  readonly resource: string;
  readonly field: string;
  readonly asker: Asker;
  readonly turn: ListTurn;
  readonly signal: AbortSignal;
}

interface List {
  /** Other than tags. */
  readonly entries: readonly unknown[];
  readonly tags: TagList;
  /** As they came, and as they are given. */
  readonly bytes: number;
}

const noTags: TagList = { tags: [], json: [] };

/** The list is there, but this mirror cannot hold it. What is cached is not in place of it. */
class HeldListError extends UpstreamError {}

/** So many others are reading long lists that it was never this one's turn. */
class BusyError extends HeldListError {
  constructor(image: UpstreamImage) {
    const reason = "its list is long, and this mirror is reading others; try again, or ask the registry itself";
    super({ code: "timeout", upstream: image.upstream.id, reason });
  }
}

/** It is longer than it can ever be held. */
class LongListError extends HeldListError {
  constructor(image: UpstreamImage, how: string) {
    const reason = `its list is longer than this mirror reads (${how}); ask the registry itself, or pull by tag`;
    super({ code: "failing", upstream: image.upstream.id, reason });
  }
}

function fallbackTag(digest: Digest): string {
  const [algorithm = "", hex = ""] = digest.split(":");
  return `${algorithm}-${hex.slice(0, 64)}`;
}

/** The upstream's own link, reduced to what may follow the name: it leads nowhere else. */
function nextResource(link: string | undefined, name: string): string | undefined {
  const target = /<([^>]*)>\s*;[^,]*rel="?next"?/.exec(link ?? "")?.[1];
  if (target === undefined || !URL.canParse(target, "http://upstream")) return undefined;
  const { pathname, search } = new URL(target, "http://upstream");
  const at = pathname.lastIndexOf(`/v2/${name}/`);
  if (at === -1) return undefined;
  const resource = pathname.slice(at + `/v2/${name}/`.length);
  return /^(?:tags\/list|referrers\/[a-z0-9:]+)$/.test(resource) ? `${resource}${search}` : undefined;
}

async function readPage(
  image: UpstreamImage,
  body: AsyncIterable<Buffer>,
  goOnTo: (bytes: number) => Promise<void>,
): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of body) {
      bytes += chunk.byteLength;
      if (bytes > maxPageBytes) throw new LongListError(image, `a page above ${mebibytes(maxPageBytes)}`);
      chunks.push(chunk);
      await goOnTo(bytes);
    }
    return Buffer.concat(chunks);
  } catch (error) {
    if (error instanceof HeldListError) throw error;
    throw failure(image, "failing", unreadable, error);
  }
}

function parsed(image: UpstreamImage, text: Buffer): unknown {
  try {
    return JSON.parse(text.toString()) as unknown;
  } catch (error) {
    throw failure(image, "failing", unreadable, error);
  }
}

const unreadable = "it sends a list that cannot be read";

function mebibytes(bytes: number): string {
  return `${bytes / 1024 ** 2} MiB`;
}

function entriesOf(document: unknown, field: string): readonly unknown[] {
  const value = fieldOf(document, field);
  return Array.isArray(value) ? value : [];
}

function fieldOf(value: unknown, field: string): unknown {
  return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>)[field] : undefined;
}

function failure(image: UpstreamImage, code: "failing" | "timeout", reason: string, cause?: unknown): UpstreamError {
  return new UpstreamError({ code, upstream: image.upstream.id, reason }, { cause });
}
