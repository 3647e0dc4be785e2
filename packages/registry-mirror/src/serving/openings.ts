import type { UpstreamError } from "../errors.ts";
import type { Digest } from "../reference/grammar.ts";
import { isOpenTo, isWithdrawal, neededOpening } from "../routing/opening.ts";
import type { Opening } from "../routing/opening.ts";
import type { UpstreamImage } from "../routing/select.ts";
import type { TagRecord } from "../storage/record-texts.ts";
import type { Records, RepositoryView } from "../storage/records.ts";
import type { SharedStore } from "../storage/shared-store.ts";
import type { Asker } from "../upstream/asker.ts";

/**
 * What is known of names, as far as it counts for whoever reaches the mirror: what was got with a login is unknown where that
 * login is not used, also when it was used once. With pass-through everything counts, but only with the upstream's consent.
 */
export class Openings {
  readonly #records: Records;
  readonly #shared: Pick<SharedStore, "adoptDigest">;
  readonly #withdrawals = new Map<string, number>();

  constructor(records: Records, shared: Pick<SharedStore, "adoptDigest">) {
    this.#records = records;
    this.#shared = shared;
  }

  /** Whether a digest is known under a name. */
  has(image: UpstreamImage, digest: Digest): boolean {
    const records = this.#records;
    return records.knows(image, digest) && isOpenTo(records.openingOf(image, digest), neededOpening(image));
  }

  /** The same, with what other mirrors know of a digest that this one has never seen under the name. */
  async find(image: UpstreamImage, digest: Digest): Promise<boolean> {
    if (!this.#records.knows(image, digest) && !(await this.#shared.adoptDigest(image, digest))) return false;
    return this.has(image, digest);
  }

  tag(image: UpstreamImage, tag: string): TagRecord | undefined {
    const record = this.#records.tag(image, tag);
    return isOpenTo(record?.openTo, neededOpening(image)) ? record : undefined;
  }

  tags(image: UpstreamImage): readonly string[] {
    return this.#records.tags(image).filter((tag) => this.tag(image, tag) !== undefined);
  }

  /** Whether anything of a repository is known. */
  hasAny(image: UpstreamImage, { digests, tags }: RepositoryView): boolean {
    const needed = neededOpening(image);
    return [...tags.values(), ...digests.values()].some(({ openTo }) => isOpenTo(openTo, needed));
  }

  /** Takes note of an upstream's failure: what it opened once is not open any more when it has withdrawn access to the name. */
  noteFailure(image: UpstreamImage, { code }: UpstreamError): void {
    // Of one client's login its refusal says nothing about others.
    if (neededOpening(image) === "clients" || !isWithdrawal(image, code)) return;
    if (this.#records.withdraw(image)) this.#withdrawals.set(keyOf(image), this.withdrawals(image) + 1);
  }

  /** How often access to a name was withdrawn; what was begun before says nothing about what came after. */
  withdrawals(image: UpstreamImage): number {
    return this.#withdrawals.get(keyOf(image)) ?? 0;
  }
}

function keyOf({ name, upstream }: UpstreamImage): string {
  return `${upstream.id} ${name}`;
}

/** To whom something is open that an upstream has given to somebody. The mirror's own login is used for public names, too. */
export function openingBy(asker: Asker, image: UpstreamImage): Opening {
  if (typeof asker === "object") return "clients";
  return asker === "configured" && neededOpening(image) === "mirror" ? "mirror" : "anybody";
}
