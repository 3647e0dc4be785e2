import { generateKeyPairSync } from "node:crypto";
import type { KeyObject } from "node:crypto";
import type { Clock } from "../../clock.ts";
import { SingleFlight } from "../../single-flight.ts";
import type { CertificateAuthority } from "./authority.ts";

/** A certificate with its key, as PEM. */
export interface Leaf {
  readonly cert: string;
  readonly key: string;
  readonly renewAtMs: number;
}

/** The certificates with which the mirror answers for other hosts. They are made at the first need, and never written to a disk. */
export class Leaves {
  readonly #ca: Pick<CertificateAuthority, "issue">;
  readonly #clock: Pick<Clock, "now">;
  readonly #onIssued: () => void;
  readonly #leaves = new Map<string, Leaf>();
  readonly #making = new SingleFlight<Leaf>();
  #key: KeyObject | undefined;

  constructor(ca: Pick<CertificateAuthority, "issue">, clock: Pick<Clock, "now">, onIssued: () => void) {
    this.#ca = ca;
    this.#clock = clock;
    this.#onIssued = onIssued;
  }

  /** @param host - one of those that the operator listed, so that they are few */
  async for(host: string): Promise<Leaf> {
    const known = this.#leaves.get(host);
    if (known !== undefined && this.#clock.now() < known.renewAtMs) return known;
    return this.#making.run(host, () => this.#make(host)).result;
  }

  async #make(host: string): Promise<Leaf> {
    const now = this.#clock.now();
    this.#key ??= generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
    const cert = await this.#ca.issue(host, this.#key, { fromMs: now - hourMs, toMs: now + 90 * dayMs });
    const key = this.#key.export({ type: "pkcs8", format: "pem" }).toString();
    const leaf = { cert, key, renewAtMs: now + 60 * dayMs };
    this.#leaves.set(host, leaf);
    this.#onIssued();
    return leaf;
  }
}

const hourMs = 60 * 60_000;
const dayMs = 24 * hourMs;
