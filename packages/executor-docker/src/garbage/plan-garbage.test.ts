import { expect, it } from "vitest";
import { planGarbage } from "./plan-garbage.ts";

const item = (name: string, bytes: number, lastUsedMs: number, isFree = true) => ({ name, bytes, lastUsedMs, isFree });
const names = (items: readonly { readonly name: string }[]): string[] => items.map(({ name }) => name);

it.each([
  { what: "nothing that is as old as allowed", items: [item("a", 1, 90)], maxBytes: 1, gone: [] },
  { what: "what is older", items: [item("b", 1, 95), item("a", 1, 89)], maxBytes: undefined, gone: ["a"] },
  {
    what: "the longest unused until the rest fits exactly",
    items: [item("c", 4, 97), item("a", 4, 95), item("b", 4, 96)],
    maxBytes: 8,
    gone: ["a"],
  },
  {
    what: "nothing that is used, which counts all the same",
    items: [item("a", 9, 1, false), item("b", 2, 99)],
    maxBytes: 9,
    gone: ["b"],
  },
  { what: "by name where the time is the same", items: [item("b", 2, 95), item("a", 2, 95)], maxBytes: 2, gone: ["a"] },
])("removes $what", ({ items, maxBytes, gone }) => {
  expect(names(planGarbage(items, { maxAgeMs: 10, maxBytes }, 100))).toEqual(gone);
  expect(names(planGarbage(items.toReversed(), { maxAgeMs: 10, maxBytes }, 100))).toEqual(gone);
});
