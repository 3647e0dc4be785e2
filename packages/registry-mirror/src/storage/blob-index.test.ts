import { describe, expect, it } from "vitest";
import type { Digest } from "../reference/grammar.ts";
import { BlobIndex } from "./blob-index.ts";

describe("the index of blobs", () => {
  const large = 100_000;
  const digestOf = (index: number): Digest => `sha256:${String(index).padStart(64, "0")}`;

  function indexOf(blobs: readonly (readonly [bytes: number, lastUsedAtMs: number])[]): BlobIndex {
    const index = new BlobIndex();
    for (const [position, [bytes, lastUsedAtMs]] of blobs.entries())
      index.set(digestOf(position), { bytes, lastUsedAtMs, recordedUseAtMs: lastUsedAtMs, verifiedStamp: undefined });
    index.sort();
    return index;
  }

  const order = (index: BlobIndex, ...pinned: readonly number[]): readonly number[] =>
    [...index.inOrderOfEviction(new Set(pinned.map(digestOf)))].map(({ digest }) => Number(digest.slice(-4)));

  it("names those first that were not used for longest, small ones after large ones, and never what is pinned", () => {
    const index = indexOf([
      [large, 30],
      [1, 10],
      [large, 20],
      [large, 10],
      [1, 5],
    ]);
    expect([order(index), index.bytesWithout(new Set())]).toEqual([[3, 2, 0, 4, 1], 3 * large + 2]);
    expect([order(index, 3, 4, 9), index.bytesWithout(new Set([3, 4, 9].map(digestOf)))]).toEqual([
      [2, 0, 1],
      2 * large + 1,
    ]);
    index.noteUse(digestOf(3), 40);
    index.noteUse(digestOf(9), 40);
    index.set(digestOf(2), { bytes: 2 * large, lastUsedAtMs: 50, recordedUseAtMs: 50, verifiedStamp: undefined });
    index.forget(digestOf(4));
    expect([order(index), index.bytes, index.count]).toEqual([[0, 3, 2, 1], 4 * large + 1, 4]);
  });

  it("looks at no more than what goes, however many there are", () => {
    const index = indexOf(Array.from({ length: 100_000 }, (_, position) => [large, position]));
    let asked = 0;
    class Asked extends Set<Digest> {
      override has(digest: Digest): boolean {
        asked += 1;
        return super.has(digest);
      }
    }
    const pinned = new Asked([digestOf(0)]);
    const [first] = index.inOrderOfEviction(pinned);
    expect([first?.digest, index.bytesWithout(pinned), asked]).toEqual([digestOf(1), 99_999 * large, 2]);
  });

  it("comes to an end also for those who use every blob while they look at it", () => {
    const index = indexOf([
      [large, 1],
      [large, 2],
    ]);
    const seen: Digest[] = [];
    for (const { digest } of index.blobs()) {
      seen.push(digest);
      index.noteUse(digest, 3);
    }
    expect(seen).toEqual([digestOf(0), digestOf(1)]);
  });
});
