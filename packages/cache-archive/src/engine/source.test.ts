import { writeFileSync } from "node:fs";

import { expect, it } from "vitest";

import { makeScratch } from "../test-support/scratch.ts";
import { readWhole } from "./source.ts";

const STALE = "what was there before";

it("content that is as long as it was listed lies in its place, also of a file that was shorter for a moment", async () => {
  await using scratch = await makeScratch();
  const path = scratch.at("f");
  writeFileSync(path, "sho");
  const target = Buffer.from(STALE);
  const entry = {
    path: "f",
    get bytes(): number {
      // As soon as the short content was read, the file has its length again.
      if (target.toString("latin1", 5, 8) === "sho") writeFileSync(path, "whole");
      return 5;
    },
  };
  const content = readWhole(scratch.path, entry, target, 5);
  expect(content.toString()).toBe("whole");
  expect(target.toString("latin1", 5, 10)).toBe("whole");
});

it.each(["", "less", "longer"])("content that has another length, %j, is given as it is", async (text) => {
  await using scratch = await makeScratch();
  writeFileSync(scratch.at("f"), text);
  const content = readWhole(scratch.path, { path: "f", bytes: 5 }, Buffer.from(STALE), 0);
  expect(content.toString()).toBe(text);
});
