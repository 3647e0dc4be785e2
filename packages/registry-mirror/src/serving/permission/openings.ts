import type { Digest } from "../../reference/grammar.ts";
import { isOpenTo, neededOpening } from "../../routing/opening.ts";
import type { UpstreamImage } from "../../routing/select.ts";
import { openingIn } from "../../storage/era.ts";
import type { Expected } from "../../storage/era.ts";
import { imageKey } from "../../storage/layout.ts";
import type { TagRecord } from "../../storage/record-texts.ts";
import type { Records, RepositoryView } from "../../storage/records.ts";
import type { SharedStore } from "../../storage/shared-store.ts";
import type { Asker } from "../../upstream/asker.ts";

/**
 * What is known of names, as far as it counts for whoever reaches the mirror: what was got with a login is unknown where that
 * login is not used, also when it was used once. With pass-through everything counts, but only with the upstream's consent.
 */
export class Openings {
  readonly #records: Records;
  readonly #shared: Pick<SharedStore, "adoptDigest">;

  constructor(records: Records, shared: Pick<SharedStore, "adoptDigest">) {
    this.#records = records;
    this.#shared = shared;
  }

  /** Whether a digest is known under a name. */
  has(image: UpstreamImage, digest: Digest): boolean {
    const records = this.#records;
    return records.knows(image, digest) && isOpenTo(records.openingOf(image, digest), neededOpening(image));
  }

  /** The same, with what other mirrors know of a digest that this one has not seen under the name since the last withdrawal. */
  async find(image: UpstreamImage, digest: Digest): Promise<boolean> {
    const records = this.#records;
    if (this.has(image, digest)) return true;
    if (records.knows(image, digest) && !records.isOutdated(image, digest)) return false;
    return (await this.#shared.adoptDigest(image, digest)) && this.has(image, digest);
  }

  tag(image: UpstreamImage, tag: string): TagRecord | undefined {
    const record = this.#records.tag(image, tag);
    return isOpenTo(openingIn(this.#records.eraOf(image), record), neededOpening(image)) ? record : undefined;
  }

  tags(image: UpstreamImage): readonly string[] {
    return this.#records.tags(image).filter((tag) => this.tag(image, tag) !== undefined);
  }

  /** Whether anything of a repository is known. */
  hasAny(image: UpstreamImage, { digests, era, tags }: RepositoryView): boolean {
    const needed = neededOpening(image);
    for (const records of [tags, digests])
      for (const record of records.values()) if (isOpenTo(openingIn(era, record), needed)) return true;
    return false;
  }

  /**
   * To whom something will be open that an upstream gives to somebody who asks now. When the name is refused before the answer comes, that
   * says nothing any more.
   */
  ifGivenTo(asker: Asker, image: UpstreamImage): Expected {
    const { refusals } = this.#records;
    const era = this.#records.eraOf(image);
    if (typeof asker === "object") return { opened: { openTo: "clients", era }, refusals };
    // The mirror's own login is used for public names, too.
    const openTo = asker === "configured" && neededOpening(image) === "mirror" ? "mirror" : "anybody";
    return { opened: { openTo, era }, refusals };
  }

  /** Tells names apart, and what is known of one before and after access to it is withdrawn. */
  eraKeyOf(image: UpstreamImage): string {
    return `${imageKey(image)} ${this.#records.eraOf(image) ?? ""}`;
  }

  /** The same, and what is asked for under a name before and after it is refused. */
  keyOf(image: UpstreamImage): string {
    return `${this.eraKeyOf(image)} ${this.#records.lastRefusalOf(image)}`;
  }
}
