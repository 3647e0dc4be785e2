import { mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "../logger.ts";
import { isDigest, isRepositoryName, isTag } from "../reference/grammar.ts";
import type { Digest } from "../reference/grammar.ts";
import { isOpenTo, widerOpening } from "../routing/opening.ts";
import type { Opening } from "../routing/opening.ts";
import type { UpstreamImage } from "../routing/select.ts";
import { nextEra, openingIn, readEra } from "./era.ts";
import type { Era, Opened } from "./era.ts";
import { digestName, imageKey, tagName, withdrawalFile } from "./layout.ts";
import type { ImagePlace } from "./layout.ts";
import { readDigest, readTag } from "./record-texts.ts";
import type { DigestRecord, TagRecord } from "./record-texts.ts";
import { RecordWriter } from "./record-writer.ts";
import { Refusals } from "./refusals.ts";
import type { RecordDisk } from "./record-writer.ts";
import { isAbsence } from "./system-error.ts";
import { WithdrawalWriter } from "./withdrawal-writer.ts";

export interface RecordsOptions {
  readonly directory: string;
  /** Where they are written. */
  readonly disk: RecordDisk;
  readonly logger: Logger;
  readonly now: () => number;
  /** What was written down of another registry under the same id is forgotten. */
  readonly upstreams: readonly { readonly id: string; readonly url: URL }[];
  /** Told of every change, with the path of its record and its text; `undefined` removes it. */
  readonly onChange: (name: string, text: string | undefined) => void;
  /**
   * Told of every withdrawal that was not learnt from others, and of what others have lost. Resolves when it is remembered, or
   * cannot be.
   */
  readonly onWithdrawal: (place: ImagePlace, era: Era, isNew: boolean) => Promise<void>;
  /** Told, more than once, that something of a name is open again after access to it was withdrawn. */
  readonly onOpening: (place: ImagePlace, era: Era) => void;
}

/** One repository of one upstream. */
interface Repository {
  readonly tags: Map<string, TagRecord>;
  readonly digests: Map<Digest, DigestRecord>;
  /** Everything that the manifests list. */
  readonly children: Map<Digest, Child>;
  era: Era | undefined;
  /** Whether anything of it was open to more than single clients in this era. */
  wasOpen: boolean;
  /** Whether that was said to this mirror since it was started, and not only to others. */
  isLetIn: boolean;
}

/** Open as the manifest that lists it, of several the widest. */
interface Child extends Opened {
  readonly bytes: number;
}

/**
 * What is known of names: which tag leads where, and which digests were seen under which name. Kept in memory; each record
 * is a small file of its own, so that a crash loses at most what was written last. All of it can be lost: tags are asked
 * for again, and manifests are fetched again.
 */
export class Records {
  readonly #options: RecordsOptions;
  readonly #repositories = new Map<string, Repository>();
  readonly #parents = new Map<Digest, Set<Digest>>();
  readonly #refusals = new Refusals();
  readonly #writer: RecordWriter;
  readonly #withdrawalWriter: WithdrawalWriter;
  /** Withdrawals that are still to be remembered. */
  readonly #pending = new Map<string, Promise<unknown>>();

  private constructor(options: RecordsOptions) {
    this.#options = options;
    this.#writer = new RecordWriter(options);
    this.#withdrawalWriter = new WithdrawalWriter({ ...options, records: this.#writer });
  }

  static async open(options: RecordsOptions): Promise<Records> {
    const records = new Records(options);
    const top = join(options.directory, "meta");
    for (const { id, url } of options.upstreams) await forgetOtherRegistry(join(top, id), url.href);
    for (const id of await entriesOf(top)) await records.#load(id.name, "", join(top, id.name));
    return records;
  }

  tag(image: UpstreamImage, tag: string): TagRecord | undefined {
    return this.#find(image)?.tags.get(tag);
  }

  /**
   * @param refusals - how many there had been when it was asked for, of what an upstream says
   * @returns what counts of it
   */
  setTag(image: UpstreamImage, tag: string, record: TagRecord, refusals?: number): TagRecord {
    const repository = this.#repository(image);
    const current = this.#inTime(image, record, refusals);
    addTag(repository, tag, current);
    this.#noteOpening(image, repository, current);
    this.#save(tagName(image, tag), JSON.stringify(current));
    return current;
  }

  deleteTag(image: UpstreamImage, tag: string): void {
    if (this.#find(image)?.tags.delete(tag) === true) this.#save(tagName(image, tag), undefined);
  }

  digest(image: UpstreamImage, digest: Digest): DigestRecord | undefined {
    return this.#find(image)?.digests.get(digest);
  }

  /** @param refusals - how many there had been when it was asked for, of what an upstream says */
  setDigest(image: UpstreamImage, digest: Digest, record: DigestRecord, refusals?: number): void {
    const repository = this.#repository(image);
    const current = this.#inTime(image, record, refusals);
    this.#addDigest(repository, digest, current);
    this.#noteOpening(image, repository, current);
    this.#save(digestName(image, digest), JSON.stringify(current));
  }

  /** Whether a digest was seen under a name: by itself, or listed in a manifest of that name. */
  knows(image: UpstreamImage, digest: Digest): boolean {
    const repository = this.#find(image);
    return repository !== undefined && (repository.digests.has(digest) || repository.children.has(digest));
  }

  /** Whether all that is known of a digest under a name was learnt before access to the name was withdrawn. */
  isOutdated(image: UpstreamImage, digest: Digest): boolean {
    return this.eraOf(image) !== undefined && this.openingOf(image, digest) === undefined;
  }

  /** To whom a digest is open under a name: by itself, or in a manifest of that name. */
  openingOf(image: UpstreamImage, digest: Digest): Opening | undefined {
    const repository = this.#find(image);
    const opening = openingIn(repository?.era, repository?.digests.get(digest));
    return widerOpening(opening, openingIn(repository?.era, repository?.children.get(digest)));
  }

  /** What is learnt of a name counts as long as it stays the same. */
  eraOf(place: ImagePlace): Era | undefined {
    return this.#find(place)?.era;
  }

  /** How many refusals there were so far, of all names. */
  get refusals(): number {
    return this.#refusals.count;
  }

  /** Changes with each refusal of a name. */
  lastRefusalOf(place: ImagePlace): number {
    return this.#refusals.lastOf(imageKey(place));
  }

  /**
   * Takes everything of a name for open to single clients only, until the upstream says something else of it.
   *
   * @returns whether anything of it was open to more
   */
  withdraw(place: ImagePlace): boolean {
    this.#refusals.note(imageKey(place));
    const repository = this.#find(place);
    // An upstream that goes on denying it says nothing new.
    if (repository?.wasOpen !== true) return false;
    this.#begin(place, nextEra(repository.era, this.#options.now()), true);
    return true;
  }

  /** The same as {@link withdraw}, of a name of which others have something in an era, unless the upstream has let this mirror in since. */
  withdrawUnseen(place: ImagePlace, era: Era | undefined): void {
    const repository = this.#find(place);
    if (repository?.era !== era || repository?.isLetIn === true) return;
    this.#begin(place, nextEra(era, this.#options.now()), true);
  }

  /** Takes note of what other mirrors know of withdrawals; tells them when it is less than what this one knows. */
  adoptEra(place: ImagePlace, era: Era | undefined): void {
    const own = this.eraOf(place);
    if (era !== undefined && (own === undefined || own < era)) this.#begin(place, era, false);
    else if (own !== undefined && own !== era) void this.#options.onWithdrawal(place, own, false);
    else if (own !== undefined && this.#find(place)?.wasOpen === true) this.#options.onOpening(place, own);
  }

  /** Others have withdrawn the same name at the same time: what they learnt after that may be from before this one's withdrawal. */
  overtake(place: ImagePlace, era: Era): void {
    const own = this.eraOf(place);
    this.#begin(place, nextEra(own !== undefined && own > era ? own : era, this.#options.now()), true);
  }

  /** Resolves when withdrawals of a name are remembered for good, or cannot be; undefined when there is nothing to wait for. */
  remembered(place: ImagePlace): Promise<unknown> | undefined {
    return this.#pending.size === 0 ? undefined : this.#pending.get(imageKey(place));
  }

  /** Length of a digest, as the name's manifests tell it. */
  bytesOf(image: UpstreamImage, digest: Digest): number | undefined {
    const repository = this.#find(image);
    const bytes = repository?.digests.get(digest)?.bytes ?? repository?.children.get(digest)?.bytes;
    return bytes === 0 ? undefined : bytes;
  }

  /** Manifests that list a digest. */
  parentsOf(digest: Digest): Iterable<Digest> {
    return this.#parents.get(digest) ?? [];
  }

  /** Whether anything leads to a digest. */
  isReferredTo(digest: Digest): boolean {
    return (this.#parents.get(digest)?.size ?? 0) > 0 || this.#isRecorded(digest);
  }

  /** Everything that tags lead to, directly or through other manifests. */
  reachableFrom(image: UpstreamImage, tags: Iterable<string>): ReadonlySet<Digest> {
    const repository = this.#find(image);
    const reached = new Set<Digest>();
    const visit = (digest: Digest): void => {
      if (reached.has(digest)) return;
      reached.add(digest);
      for (const child of repository?.digests.get(digest)?.manifest?.children ?? []) visit(child.digest);
    };
    for (const tag of tags) {
      const digest = repository?.tags.get(tag)?.digest;
      if (digest !== undefined) visit(digest);
    }
    return reached;
  }

  /** Every repository of which anything is known. */
  *repositories(): Generator<RepositoryView> {
    for (const [key, { tags, digests, era }] of this.#repositories) {
      const space = key.indexOf(" ");
      if (tags.size + digests.size > 0)
        yield { upstream: key.slice(0, space), name: key.slice(space + 1), tags, digests, era };
    }
  }

  tags(image: UpstreamImage): readonly string[] {
    return [...(this.#find(image)?.tags.keys() ?? [])];
  }

  /** Forgets a repository, or one digest or tag of it. */
  forget(image: UpstreamImage, what: { readonly tag?: string; readonly digest?: Digest } = {}): void {
    const repository = this.#find(image);
    if (repository === undefined) return;
    const all = what.tag === undefined && what.digest === undefined;
    for (const tag of repository.tags.keys()) {
      if (all || tag === what.tag || repository.tags.get(tag)?.digest === what.digest) this.deleteTag(image, tag);
    }
    for (const digest of repository.digests.keys()) {
      if (!all && digest !== what.digest) continue;
      const children = repository.digests.get(digest)?.manifest?.children ?? [];
      repository.digests.delete(digest);
      this.#save(digestName(image, digest), undefined);
      if (this.#isRecorded(digest)) continue;
      for (const child of children) this.#parents.get(child.digest)?.delete(digest);
    }
    this.#relist(repository);
  }

  /** Takes over a record that another mirror has written, unless what is known here says as much. */
  adopt(image: UpstreamImage, what: { readonly tag: string } | { readonly digest: Digest }, text: string): void {
    const repository = this.#repository(image);
    const openingOf = (record: Opened): Opening => openingIn(repository.era, record) ?? "clients";
    if ("tag" in what) {
      const record = readTag(text);
      const known = repository.tags.get(what.tag);
      if (record === undefined) return;
      if (known !== undefined && known.checkedAtMs >= record.checkedAtMs) {
        // What was learnt before a withdrawal is worth less than anything that was learnt after it.
        if (openingOf(known) !== "clients" || openingOf(record) === "clients") return;
      }
      addTag(repository, what.tag, record);
    } else {
      const record = readDigest(text);
      const known = repository.digests.get(what.digest);
      if (record === undefined || (known !== undefined && isOpenTo(openingOf(known), openingOf(record)))) return;
      this.#addDigest(repository, what.digest, { ...record, manifest: record.manifest ?? known?.manifest });
    }
  }

  /** Tries once more, in the background, to remember withdrawals that could not be. */
  retryWithdrawals(): void {
    this.#withdrawalWriter.retry();
  }

  /** Waits until everything is on the disk that it takes, also of what it did not take before. */
  async flush(): Promise<void> {
    await this.#withdrawalWriter.flush();
    await this.#writer.flush();
  }

  /** What was opened before the last withdrawal, or asked for before the last refusal, says nothing any more, also when it is passed on. */
  #inTime<Record extends Opened>(place: ImagePlace, record: Record, refusals = this.refusals): Record {
    const isCurrent = openingIn(this.eraOf(place), record) === record.openTo;
    if (isCurrent && !this.#refusals.isRefusedSince(imageKey(place), refusals)) return record;
    return { ...record, openTo: undefined, era: undefined };
  }

  #begin(place: ImagePlace, era: Era, isOwn: boolean): void {
    const repository = this.#repository(place);
    repository.era = era;
    repository.wasOpen = false;
    repository.isLetIn = false;
    this.#remember(place, era, isOwn);
  }

  #remember(place: ImagePlace, era: Era, isOwn: boolean): void {
    const { onWithdrawal } = this.#options;
    const key = imageKey(place);
    const pending = Promise.all([
      this.#withdrawalWriter.write(place, era),
      isOwn ? onWithdrawal(place, era, true) : undefined,
    ]).finally(() => {
      if (this.#pending.get(key) === pending) this.#pending.delete(key);
    });
    this.#pending.set(key, pending);
  }

  #isRecorded(digest: Digest): boolean {
    for (const repository of this.#repositories.values()) if (repository.digests.has(digest)) return true;
    return false;
  }

  #find(place: ImagePlace): Repository | undefined {
    return this.#repositories.get(imageKey(place));
  }

  #repository(place: ImagePlace): Repository {
    const key = imageKey(place);
    let repository = this.#repositories.get(key);
    if (repository === undefined) {
      repository = {
        tags: new Map(),
        digests: new Map(),
        children: new Map(),
        era: undefined,
        wasOpen: false,
        isLetIn: false,
      };
      this.#repositories.set(key, repository);
    }
    return repository;
  }

  #relist(repository: Repository): void {
    repository.children.clear();
    for (const record of repository.digests.values()) list(repository, record);
  }

  #addDigest(repository: Repository, digest: Digest, record: DigestRecord): void {
    repository.digests.set(digest, record);
    if (isOpenTo(openingIn(repository.era, record), "mirror")) repository.wasOpen = true;
    list(repository, record);
    for (const child of record.manifest?.children ?? []) {
      const parents = this.#parents.get(child.digest) ?? new Set();
      this.#parents.set(child.digest, parents.add(digest));
    }
  }

  #noteOpening(place: ImagePlace, repository: Repository, record: Opened): void {
    if (!isOpenTo(openingIn(repository.era, record), "mirror")) return;
    repository.isLetIn = true;
    if (repository.era !== undefined) this.#options.onOpening(place, repository.era);
  }

  #save(name: string, text: string | undefined): void {
    this.#options.onChange(name, text);
    this.#writer.save(name, text);
  }

  async #load(upstreamId: string, name: string, directory: string): Promise<void> {
    const entries = await entriesOf(directory);
    if (isRepositoryName(name) && entries.some((entry) => entry.name === withdrawalFile))
      await this.#loadEra({ upstream: { id: upstreamId }, name }, join(directory, withdrawalFile));
    for (const entry of entries) {
      const path = join(directory, entry.name);
      if (entry.name === "_tags" || entry.name === "_digests") {
        if (isRepositoryName(name)) await this.#loadRecords(upstreamId, name, path, entry.name);
      } else if (entry.isDirectory) {
        await this.#load(upstreamId, name === "" ? entry.name : `${name}/${entry.name}`, path);
      }
    }
  }

  async #loadEra(place: ImagePlace, path: string): Promise<void> {
    const era = readEra(await readFile(path, "utf8"));
    if (era !== undefined) this.#repository(place).era = era;
    // A file system that lost blocks in a crash.
    else this.#begin(place, nextEra(undefined, this.#options.now()), true);
  }

  async #loadRecords(upstreamId: string, name: string, directory: string, kind: "_digests" | "_tags"): Promise<void> {
    const repository = this.#repository({ upstream: { id: upstreamId }, name });
    for (const entry of await entriesOf(directory)) {
      const text = await readFile(join(directory, entry.name), "utf8");
      if (kind === "_tags") {
        const record = readTag(text);
        if (record !== undefined && isTag(entry.name)) addTag(repository, entry.name, record);
      } else {
        const record = readDigest(text);
        const digest = entry.name.replace("-", ":");
        if (record !== undefined && isDigest(digest)) this.#addDigest(repository, digest, record);
      }
    }
  }
}

export interface RepositoryView {
  readonly upstream: string;
  readonly name: string;
  readonly era: Era | undefined;
  readonly tags: ReadonlyMap<string, TagRecord>;
  readonly digests: ReadonlyMap<Digest, DigestRecord>;
}

function addTag(repository: Repository, tag: string, record: TagRecord): void {
  repository.tags.set(tag, record);
  if (isOpenTo(openingIn(repository.era, record), "mirror")) repository.wasOpen = true;
}

function list({ children, era }: Repository, record: DigestRecord): void {
  for (const { bytes, digest } of record.manifest?.children ?? []) {
    const openTo = widerOpening(openingIn(era, record), openingIn(era, children.get(digest)));
    children.set(digest, { bytes, openTo, era });
  }
}

/** The same id may mean another registry since the last start. */
async function forgetOtherRegistry(directory: string, url: string): Promise<void> {
  const note = join(directory, "_registry");
  const known = await readFile(note, "utf8").catch(() => undefined);
  if (known === url) return;
  if (known !== undefined) await rm(directory, { recursive: true });
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await writeFile(note, url, { mode: 0o600 });
}

async function entriesOf(
  directory: string,
): Promise<readonly { readonly name: string; readonly isDirectory: boolean }[]> {
  try {
    const entries = await readdir(directory, { withFileTypes: true });
    return entries.map((entry) => ({ name: entry.name, isDirectory: entry.isDirectory() }));
  } catch (error) {
    if (isAbsence(error)) return [];
    throw error;
  }
}
