import { execFileSync } from "node:child_process";
import { mkdir, readdir, symlink, writeFile } from "node:fs/promises";

import { expect, it } from "vitest";

import { makeScratch } from "../test-support/scratch.ts";
import { copyTree } from "./copy-tree.ts";

it("copyTree does not wait for the writer of a pipe, and refuses what is neither file, folder nor link", async () => {
  await using scratch = await makeScratch();
  await mkdir(scratch.at("from"));
  await writeFile(scratch.at("from/file"), "x");
  await symlink("file", scratch.at("from/link"));
  expect([...copyTree(scratch.at("from"), scratch.at("to"))].length).toBeGreaterThan(2);
  expect((await readdir(scratch.at("to"))).toSorted()).toEqual(["file", "link"]);
  execFileSync("mkfifo", [scratch.at("from/pipe")]);
  expect(() => [...copyTree(scratch.at("from"), scratch.at("other"))]).toThrow("neither a file, a folder nor a link");
});
