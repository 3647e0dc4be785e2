import { mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "../logger.ts";
import { isDigest, isRepositoryName, isTag } from "../reference/grammar.ts";
import type { Digest } from "../reference/grammar.ts";
import { isOpenTo, widerOpening } from "../routing/opening.ts";
import type { Opening } from "../routing/opening.ts";
import type { UpstreamImage } from "../routing/select.ts";
import type { Disk } from "./disk.ts";
import { digestName, tagName } from "./layout.ts";
import { readDigest, readTag } from "./record-texts.ts";
import type { DigestRecord, TagRecord } from "./record-texts.ts";
import { RecordWriter } from "./record-writer.ts";
import { systemCodeOf } from "./system-error.ts";

export interface RecordsOptions {
  readonly directory: string;
  /** Where they are written. */
  readonly disk: Pick<Disk, "removeFile" | "writeWhole">;
  readonly logger: Logger;
  readonly now: () => number;
  /** What was written down of another registry under the same id is forgotten. */
  readonly upstreams: readonly { readonly id: string; readonly url: URL }[];
  /** Told of every change, with the path of its record and its text; `undefined` removes it. */
  readonly onChange: (name: string, text: string | undefined) => void;
}

/** One repository of one upstream. */
interface Repository {
  readonly tags: Map<string, TagRecord>;
  readonly digests: Map<Digest, DigestRecord>;
  /** Everything that the manifests list. */
  readonly children: Map<Digest, Child>;
  /** Whether anything of it was open to more than single clients since access to it was withdrawn last. */
  wasOpen: boolean;
}

interface Child {
  readonly bytes: number;
  /** As that of the manifest that lists it, of several the widest. */
  readonly openTo: Opening | undefined;
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
  readonly #writer: RecordWriter;

  private constructor(options: RecordsOptions) {
    this.#options = options;
    this.#writer = new RecordWriter(options);
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

  setTag(image: UpstreamImage, tag: string, record: TagRecord): void {
    addTag(this.#repository(image.upstream.id, image.name), tag, record);
    this.#save(tagName(image, tag), JSON.stringify(record));
  }

  deleteTag(image: UpstreamImage, tag: string): void {
    if (this.#find(image)?.tags.delete(tag) === true) this.#save(tagName(image, tag), undefined);
  }

  digest(image: UpstreamImage, digest: Digest): DigestRecord | undefined {
    return this.#find(image)?.digests.get(digest);
  }

  setDigest(image: UpstreamImage, digest: Digest, record: DigestRecord): void {
    this.#addDigest(this.#repository(image.upstream.id, image.name), digest, record);
    this.#save(digestName(image, digest), JSON.stringify(record));
  }

  /** Whether a digest was seen under a name: by itself, or listed in a manifest of that name. */
  knows(image: UpstreamImage, digest: Digest): boolean {
    const repository = this.#find(image);
    return repository !== undefined && (repository.digests.has(digest) || repository.children.has(digest));
  }

  /** To whom a digest was open under a name: by itself, or in a manifest of that name. */
  openingOf(image: UpstreamImage, digest: Digest): Opening | undefined {
    const repository = this.#find(image);
    return widerOpening(repository?.digests.get(digest)?.openTo, repository?.children.get(digest)?.openTo);
  }

  /**
   * Takes everything of a name for open to single clients only, until the upstream says something else of it.
   *
   * @returns whether anything of it was open to more
   */
  withdraw(image: UpstreamImage): boolean {
    const repository = this.#find(image);
    // An upstream that goes on denying it says nothing new, and there may be thousands of records.
    if (repository?.wasOpen !== true) return false;
    repository.wasOpen = false;
    for (const [tag, { openTo, ...record }] of repository.tags)
      if (isOpenTo(openTo, "mirror")) this.setTag(image, tag, record);
    for (const [digest, { openTo, ...record }] of repository.digests)
      if (isOpenTo(openTo, "mirror")) this.setDigest(image, digest, record);
    this.#relist(repository);
    return true;
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
    for (const [key, { tags, digests }] of this.#repositories) {
      const slash = key.indexOf("/");
      if (tags.size + digests.size > 0)
        yield { upstream: key.slice(0, slash), name: key.slice(slash + 1), tags, digests };
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

  /** Takes over a record that another mirror has written. */
  adopt(image: UpstreamImage, what: { readonly tag: string } | { readonly digest: Digest }, text: string): void {
    const repository = this.#repository(image.upstream.id, image.name);
    if ("tag" in what) {
      const record = readTag(text);
      const known = repository.tags.get(what.tag);
      if (record === undefined || (known !== undefined && known.checkedAtMs >= record.checkedAtMs)) return;
      addTag(repository, what.tag, record);
    } else {
      const record = readDigest(text);
      if (record !== undefined) this.#addDigest(repository, what.digest, record);
    }
  }

  /** Waits until everything is on the disk that it takes, also of what it did not take before. */
  flush(): Promise<void> {
    return this.#writer.flush();
  }

  #isRecorded(digest: Digest): boolean {
    for (const repository of this.#repositories.values()) if (repository.digests.has(digest)) return true;
    return false;
  }

  #find({ upstream, name }: UpstreamImage): Repository | undefined {
    return this.#repositories.get(`${upstream.id}/${name}`);
  }

  #repository(upstreamId: string, name: string): Repository {
    const key = `${upstreamId}/${name}`;
    let repository = this.#repositories.get(key);
    if (repository === undefined) {
      repository = { tags: new Map(), digests: new Map(), children: new Map(), wasOpen: false };
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
    if (isOpenTo(record.openTo, "mirror")) repository.wasOpen = true;
    list(repository, record);
    for (const child of record.manifest?.children ?? []) {
      const parents = this.#parents.get(child.digest) ?? new Set();
      this.#parents.set(child.digest, parents.add(digest));
    }
  }

  #save(name: string, text: string | undefined): void {
    this.#options.onChange(name, text);
    this.#writer.save(name, text);
  }

  async #load(upstreamId: string, name: string, directory: string): Promise<void> {
    for (const entry of await entriesOf(directory)) {
      const path = join(directory, entry.name);
      if (entry.name === "_tags" || entry.name === "_digests") {
        if (isRepositoryName(name)) await this.#loadRecords(upstreamId, name, path, entry.name);
      } else if (entry.isDirectory) {
        await this.#load(upstreamId, name === "" ? entry.name : `${name}/${entry.name}`, path);
      }
    }
  }

  async #loadRecords(upstreamId: string, name: string, directory: string, kind: "_digests" | "_tags"): Promise<void> {
    const repository = this.#repository(upstreamId, name);
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
  readonly tags: ReadonlyMap<string, TagRecord>;
  readonly digests: ReadonlyMap<Digest, DigestRecord>;
}

function addTag(repository: Repository, tag: string, record: TagRecord): void {
  repository.tags.set(tag, record);
  if (isOpenTo(record.openTo, "mirror")) repository.wasOpen = true;
}

function list({ children }: Repository, { manifest, openTo }: DigestRecord): void {
  for (const { bytes, digest } of manifest?.children ?? [])
    children.set(digest, { bytes, openTo: widerOpening(openTo, children.get(digest)?.openTo) });
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
    const code = systemCodeOf(error);
    if (code === "ENOENT" || code === "ENOTDIR") return [];
    throw error;
  }
}
