import { describe, expect, it } from "vitest";

import { EntryPlaces } from "./entry-places.ts";
import { RestoreRows } from "./restore-rows.ts";

/** Names that came before: none, one of the root, and others that begin with the same bytes as the names below. */
const BEFORE = ["", "./", "a", "a/", "a/b/c", "a/b/cd", "a/.b/c", "é/b", "a/é"];

describe.each(BEFORE)("the place of an entry after one called %o", (before) => {
  it.each<[name: string | Buffer, place: string | Buffer]>([
    ["a", "a"],
    ["a/", "a"],
    ["a/b/c", "a/b/c"],
    ["a/b/c/", "a/b/c"],
    ["a-b", "a-b"],
    ["a/.b", "a/.b"],
    ["a/...", "a/..."],
    ["a/..b", "a/..b"],
    ["a\\..\\b", "a\\..\\b"],
    ["/a", "a"],
    ["./a", "a"],
    ["a//b", "a/b"],
    ["a/./b", "a/b"],
    ["a/.", "a"],
    ["a//", "a"],
    ["a/b/../c", "a/c"],
    ["a/b/..", "a"],
    ["./", "."],
    ["a/..", "."],
    ["é/\u{1f600}", "é/\u{1f600}"],
    ["é/./b", "é/b"],
    [Buffer.of(0x61, 0x2f, 0xc3), Buffer.of(0x61, 0x2f, 0xc3)],
    [Buffer.of(0x61, 0x2f, 0x2f, 0xa9), Buffer.of(0x61, 0x2f, 0xa9)],
  ])("%o is %o", (name, place) => {
    const { rows, places } = placesAfter(before);
    const index = add(rows, name);
    places.find(index);
    expect(places.key()).toBe(Buffer.from(place).toString("latin1"));
    expect(rows.table.target(index)).toBe(rows.table.name(add(rows, place)));
  });

  it.each([
    ["..", "outside-root"],
    ["a/../..", "outside-root"],
    ["a/../../a/b", "outside-root"],
    ["/..", "outside-root"],
    ["a\0", "malformed"],
    ["a/b\0/c", "malformed"],
    ["../\0", "malformed"],
  ])("%o is refused", (name, code) => {
    const { rows, places } = placesAfter(before);
    const index = add(rows, name);
    expect(() => places.find(index)).toThrow(expect.objectContaining({ code }));
  });
});

function placesAfter(name: string): { rows: RestoreRows; places: EntryPlaces } {
  const rows = new RestoreRows();
  const places = new EntryPlaces(rows);
  if (name !== "") places.find(add(rows, name));
  return { rows, places };
}

function add(rows: RestoreRows, name: string | Buffer): number {
  return rows.addEntry(Buffer.from(name), { kind: "directory", mode: 0, mtimeMs: 0, bytes: 0, owner: undefined });
}
