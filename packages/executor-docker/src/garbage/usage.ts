import { join } from "node:path";

import { parseReference, pullReference } from "../image/reference.ts";
import { UsageRecords } from "./usage-records.ts";

/** What the jobs of an executor use of the engine, now and before. */
export interface Usage {
  readonly volumes: UsageRecords;
  /** Only of images that this executor has pulled. */
  readonly images: UsageRecords;
  /** How many jobs use an image (by its id) or a volume (by its name) now. */
  readonly held: Map<string, number>;
}

export function openUsage(hostDirectory: string, held: Map<string, number>, now: () => number): Usage {
  return {
    volumes: new UsageRecords(join(hostDirectory, "usage", "volumes"), now),
    images: new UsageRecords(join(hostDirectory, "usage", "images"), now),
    held,
  };
}

/** What one job uses, until it is over. */
export class JobUsage {
  readonly #usage: Usage;
  readonly #held: string[] = [];

  constructor(usage: Usage) {
    this.#usage = usage;
  }

  async volume(name: string): Promise<void> {
    this.#hold(name);
    await this.#usage.volumes.begin(name);
  }

  /** @param pulled - under which reference it came right now; undefined when it was there */
  async image(id: string, pulled: string | undefined): Promise<void> {
    this.#hold(id);
    if (pulled === undefined) await this.#usage.images.renew(id);
    else await this.#usage.images.begin(id, familiarName(pulled));
  }

  end(): void {
    const { held } = this.#usage;
    for (const name of this.#held.splice(0)) {
      const count = held.get(name) ?? 0;
      if (count > 1) held.set(name, count - 1);
      else held.delete(name);
    }
  }

  #hold(name: string): void {
    this.#usage.held.set(name, (this.#usage.held.get(name) ?? 0) + 1);
    this.#held.push(name);
  }
}

/** A reference as the engine lists it: without the names that mean Docker Hub's own. */
function familiarName(reference: string): string {
  const { tag, digest } = parseReference(reference);
  const full = tag === undefined && digest === undefined ? pullReference(reference) : reference;
  return full.replace(/^(?:index\.)?docker\.io\//, "").replace(/^library\//, "");
}
