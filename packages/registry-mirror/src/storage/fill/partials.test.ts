import { createHash } from "node:crypto";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Digest } from "../../reference/grammar.ts";
import { Partials } from "./partials.ts";

describe("partials", () => {
  let directory: string;
  let nowMs = 0;
  let partials: Partials;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "partials-"));
    nowMs = 0;
    partials = new Partials(
      () => nowMs,
      1000,
      (path) => rm(path, { force: true }),
    );
  });
  afterEach(() => rm(directory, { recursive: true }));

  async function keep(number: number, name = String(number), bytes = 1): Promise<void> {
    const path = join(directory, name);
    await writeFile(path, "");
    partials.keep(digestOf(number), { path, bytes, totalBytes: undefined, hash: createHash("sha256") });
  }

  it("are at most a hundred, of which the oldest goes first", async () => {
    for (let number = 0; number < 102; number += 1) await keep(number);
    while ((await readdir(directory)).length > 100) await new Promise((resolve) => setImmediate(resolve));
    expect([0, 1, 2].map((number) => partials.take(digestOf(number))?.path)).toEqual([
      undefined,
      undefined,
      join(directory, "2"),
    ]);
  });

  it("are together no longer than they may be: the oldest go, and one that is too long by itself", async () => {
    await keep(1, "first", 400);
    await keep(2, "second", 400);
    await keep(3, "third", 500);
    while ((await readdir(directory)).includes("first")) await new Promise((resolve) => setImmediate(resolve));
    expect((await readdir(directory)).sort()).toEqual(["second", "third"]);
    await keep(4, "long", 1001);
    while ((await readdir(directory)).length > 0) await new Promise((resolve) => setImmediate(resolve));
    expect(partials.take(digestOf(4))).toBeUndefined();
  });

  it("are removed after an hour, and when another one takes their place", async () => {
    await keep(1, "old");
    nowMs = 60_000;
    await keep(1, "new");
    await keep(2, "other");
    while ((await readdir(directory)).includes("old")) await new Promise((resolve) => setImmediate(resolve));
    nowMs = 60 * 60_000;
    await partials.removeOld();
    expect((await readdir(directory)).sort()).toEqual(["new", "other"]);
    expect(partials.take(digestOf(1))?.path).toBe(join(directory, "new"));
    nowMs += 60_000;
    await partials.removeOld();
    expect(await readdir(directory)).toEqual(["new"]);
  });
});

function digestOf(number: number): Digest {
  return `sha256:${String(number).padStart(64, "0")}` as Digest;
}
