import { mkdirSync, statSync } from "node:fs";
import { dirname } from "node:path";

import { describe, expect, it } from "vitest";

import { makeScratch } from "../test-support/scratch.ts";
import { EntryPlaces } from "./entry-places.ts";
import { RestoreFolders } from "./folders.ts";
import { RestoreRows } from "./restore-rows.ts";
import { StagedFiles } from "./staged-files.ts";

const FILE = { kind: "file", mode: 0o644, mtimeMs: 0, bytes: 0, owner: undefined } as const;

/** Each follows one that begins with the same bytes, ends in the same folder, or leaves it. */
const NEW = [
  "a/b",
  "a/c",
  "a/bb/c",
  "a/bb/cd",
  "a/bc/d",
  "a/b2",
  "b/b2",
  "b/b2/c/d",
  "bb",
  "b/x",
  "é/ü/1",
  "é/ü/22",
  "é/x",
];

describe("the path of a file in the staging folder", () => {
  it("is that of its place, in a folder that is there", async () => {
    await using scratch = await makeScratch();
    const staging = scratch.at("staging");
    mkdirSync(staging);
    const files = filesOf(NEW, staging, scratch.at("root"));
    for (const [index, name] of NEW.entries()) {
      const path = files.find(index)?.toString();
      expect(path).toBe(name.includes("/") ? `${staging}/${name}` : undefined);
      if (path !== undefined) expect(statSync(dirname(path)).isDirectory()).toBe(true);
    }
  });

  it("is not given where the root has the folder, so that something may be there already", async () => {
    await using scratch = await makeScratch();
    const staging = scratch.at("staging");
    mkdirSync(staging);
    mkdirSync(scratch.at("root", "a", "bb"), { recursive: true });
    const files = filesOf(NEW, staging, scratch.at("root"));
    const found = NEW.filter((_name, index) => files.find(index) !== undefined);
    expect(found).toEqual(["a/bc/d", "b/b2", "b/b2/c/d", "b/x", "é/ü/1", "é/ü/22", "é/x"]);
  });

  it("is not given when it is longer than any that a system takes", async () => {
    await using scratch = await makeScratch();
    const staging = scratch.at("staging");
    mkdirSync(staging);
    const names = ["a/b", `a/${"b".repeat(5000)}`, "a/c"];
    const files = filesOf(names, staging, scratch.at("root"));
    expect(names.map((_name, index) => files.find(index)?.toString())).toEqual([
      `${staging}/a/b`,
      undefined,
      `${staging}/a/c`,
    ]);
  });
});

function filesOf(names: readonly string[], staging: string, root: string): StagedFiles {
  const rows = new RestoreRows();
  const places = new EntryPlaces(rows);
  for (const name of names) places.find(rows.addEntry(Buffer.from(name), FILE));
  return new StagedFiles(rows.table, new RestoreFolders(staging, root), staging);
}
