import type { Stats } from "node:fs";

import { isUnchanged } from "./look.ts";
import type { Manifest } from "./manifest-file.ts";

/** The first difference that was met. */
export interface TreeDifference {
  readonly what: "added" | "removed" | "changed";
  /** Slash path relative to the root. */
  readonly path: string;
}

/** Rows of a manifest, and which of them were met in the tree. */
export class MetRows {
  readonly #manifest: Manifest;
  readonly #met: Uint8Array;

  constructor(manifest: Manifest) {
    this.#manifest = manifest;
    this.#met = new Uint8Array(manifest.rows.count);
  }

  /** @returns false for one that was met before: paths may overlap */
  meet(row: number): boolean {
    if (this.#met[row] === 1) return false;
    this.#met[row] = 1;
    return true;
  }

  /** Whether an entry is as its row says. */
  isUnchanged(row: number, place: string | Buffer, now: Stats): boolean {
    const was = this.#manifest.rows.found(row);
    return was !== undefined && isUnchanged(place, now, was, this.#manifest.facts.takenAtMs);
  }

  /** What the manifest has and nobody met. */
  missing(): TreeDifference | undefined {
    const row = this.#met.indexOf(0);
    return row === -1 ? undefined : { what: "removed", path: this.#manifest.paths[row] ?? "" };
  }
}
