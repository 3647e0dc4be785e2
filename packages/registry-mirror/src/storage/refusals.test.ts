import { expect, it } from "vitest";
import { Refusals } from "./refusals.ts";

it("knows which names were refused since something was asked for", () => {
  const refusals = new Refusals();
  refusals.note("one");
  const before = refusals.count;
  expect(refusals.isRefusedSince("one", before)).toBe(false);
  refusals.note("one");
  expect(refusals.isRefusedSince("one", before)).toBe(true);
  expect(refusals.isRefusedSince("two", before)).toBe(false);
  expect(refusals.isRefusedSince("one", refusals.count)).toBe(false);
  expect([refusals.lastOf("one"), refusals.lastOf("two")]).toEqual([2, 0]);
});

it("takes what it has forgotten for refused, and no later question", () => {
  const refusals = new Refusals(2);
  const before = refusals.count;
  for (const name of ["one", "two", "two", "three"]) refusals.note(name);
  expect(refusals.isRefusedSince("one", before)).toBe(true);
  expect(refusals.isRefusedSince("one", before + 1)).toBe(false);
  expect(refusals.isRefusedSince("four", before)).toBe(true);
  expect(refusals.isRefusedSince("four", refusals.count)).toBe(false);
});
