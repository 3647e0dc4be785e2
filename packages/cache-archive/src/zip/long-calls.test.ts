import { randomFillSync } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { sharedPool } from "../engine/pool.ts";
import { extractArchive } from "../extract.ts";
import { forgeZip } from "../test-support/forged-zip.ts";
import type { ForgedEntry } from "../test-support/forged-zip.ts";
import { makeScratch } from "../test-support/scratch.ts";
import type { Scratch } from "../test-support/scratch.ts";
import { METHOD_DEFLATE, METHOD_STORED } from "./constants.ts";

const KIBIBYTE = 1024;

let scratch: Scratch;
beforeEach(async () => {
  scratch = await makeScratch();
});
afterEach(async () => {
  vi.restoreAllMocks();
  await scratch[Symbol.asyncDispose]();
});

/** Noise that is packed in spite of that, followed by zeros: how long it takes to unpack is up to its maker. */
function entry(name: string, packedKib: number, zeroKib: number, method: number = METHOD_DEFLATE): ForgedEntry {
  const content = Buffer.alloc((packedKib + zeroKib) * KIBIBYTE);
  randomFillSync(content, 0, packedKib * KIBIBYTE);
  return { name, content, method };
}

it.each([
  { what: "a short entry", entries: [entry("a", 600, 0)] },
  { what: "one that is unpacked on its own", entries: [entry("a", 600, 600)] },
  { what: "a long one that is mostly noise", entries: [entry("a", 3900, 100)] },
])("leaves to a thread what would keep this one for long: $what", async ({ entries }) => {
  expect(await threadsFor(entries)).toBe(1);
});

it.each([
  { what: "a dense entry", entries: [entry("a", 400, 3000)] },
  { what: "several that are read together", entries: ["a", "b", "c", "d"].map((name) => entry(name, 300, 20)) },
  { what: "stored data", entries: [entry("a", 3000, 0, METHOD_STORED)] },
  { what: "what is unpacked in pieces", entries: [entry("a", 2000, 3000)] },
])("unpacks at once what takes no time, or can be interrupted: $what", async ({ entries }) => {
  expect(await threadsFor(entries)).toBe(0);
});

/** Restores an archive, and tells how often threads were asked. */
async function threadsFor(entries: readonly ForgedEntry[]): Promise<number> {
  const archivePath = scratch.at("archive.zip");
  await writeFile(archivePath, forgeZip(entries));
  vi.spyOn(sharedPool, "hasIdle", "get").mockReturnValue(false);
  const asked = vi.spyOn(sharedPool, "run");
  await extractArchive({ archivePath, root: scratch.at("root") });
  for (const { name, content } of entries) {
    const found = await readFile(path.join(scratch.at("root"), name.toString()));
    expect(found.compare(Buffer.from(content ?? ""))).toBe(0);
  }
  return asked.mock.calls.filter(([{ task }]) => task.kind === "unpack-zip").length;
}
