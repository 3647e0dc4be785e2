import { describe, expect, it } from "vitest";
import { choosePruned } from "./shelf.ts";

const cache = (name: string, bytes: number, usedAtMs: number) => ({ name, bytes, usedAtMs, modifiedAtMs: usedAtMs });

describe("what is pruned", () => {
  const caches = [cache("old", 10, 100), cache("newer", 20, 300), cache("middle", 30, 200)];
  const names = (limits: Parameters<typeof choosePruned>[1]) =>
    choosePruned(caches, limits, 1000).map(({ name }) => name);

  it("is nothing without a limit", () => {
    expect(names({})).toEqual([]);
  });

  it("is what was not used for too long", () => {
    expect(names({ maxAgeMs: 800 })).toEqual(["old"]);
    expect(names({ maxAgeMs: 900 })).toEqual([]);
  });

  it("is, of the rest, what was not used for the longest time, until the size fits", () => {
    expect(names({ maxBytes: 50 })).toEqual(["old"]);
    expect(names({ maxBytes: 49 })).toEqual(["old", "middle"]);
    expect(names({ maxAgeMs: 800, maxBytes: 20 })).toEqual(["old", "middle"]);
  });
});
