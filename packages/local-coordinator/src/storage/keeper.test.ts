import { mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import type { Keeper } from "./keeper.ts";
import { createKeeper } from "./keeper.ts";

let folder = "";
let path = "";

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "fleetfoot-keeper-"));
  path = join(folder, "journal.jsonl");
});
afterEach(() => rm(folder, { recursive: true }));

const gone = (id: number): Parameters<Keeper["mark"]> => [`runner ${id}`, () => [{ kind: "runner-gone" as const, id }]];

async function lines(): Promise<readonly unknown[]> {
  const text = await readFile(path, "utf8");
  expect(text.endsWith("\n")).toBe(true);
  return wholeLines(text);
}

/** A reader beside the writer may see the start of the line that is being written. */
const wholeLines = (text: string): readonly unknown[] =>
  text
    .split("\n")
    .slice(0, -1)
    .map((line) => (JSON.parse(line) as { id: number }[]).map(({ id }) => id));

describe("a keeper", () => {
  it("writes what was marked until a flush as one line, each thing once, and replaces the file before with the first", async () => {
    await writeFile(path, "old\n");
    const keeper = createKeeper(path, (soon) => void soon.catch(() => undefined));
    keeper.mark(...gone(1));
    keeper.mark(...gone(2));
    keeper.mark(...gone(1));
    expect(await readFile(path, "utf8")).toBe("old\n");
    await keeper.flush();
    keeper.mark(...gone(3));
    await keeper.flush();
    await keeper.flush();
    expect(await lines()).toEqual([[1, 2], [3]]);
    await keeper.close();
  });

  it("resolves each flush only when what was marked before it is written, also while others are under way", async () => {
    const keeper = createKeeper(path, (soon) => void soon.catch(() => undefined));
    const flushes: Promise<void>[] = [];
    for (let id = 1; id <= 300; id += 1) {
      keeper.mark(...gone(id));
      const flushed = keeper.flush().then(async () => {
        expect(wholeLines(await readFile(path, "utf8")).flat()).toContain(id);
      });
      flushes.push(flushed);
      if (id % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await Promise.all(flushes);
    expect((await lines()).length).toBeLessThan(300);
    await keeper.close();
  });

  it("divides what replaces the file before, and nothing that comes later", async () => {
    const keeper = createKeeper(path, (soon) => void soon.catch(() => undefined));
    for (let round = 0; round < 2; round += 1) {
      for (let id = 1; id <= 1200; id += 1) keeper.mark(...gone(id));
      await keeper.flush();
    }
    const all = Array.from({ length: 1200 }, (_, index) => index + 1);
    expect(await lines()).toEqual([all.slice(0, 500), all.slice(500, 1000), all.slice(1000), all]);
    await keeper.close();
  });

  it("tells a description whether it is the first that is written", async () => {
    const keeper = createKeeper(path, (soon) => void soon.catch(() => undefined));
    const seen: boolean[] = [];
    const describeIt = (isFirst: boolean): [] => {
      seen.push(isFirst);
      return [];
    };
    for (let round = 0; round < 2; round += 1) {
      keeper.mark("thing", describeIt);
      await keeper.flush();
    }
    expect(seen).toEqual([true, false]);
    await keeper.close();
  });

  it("writes by itself what nobody asks to flush", async () => {
    const work: Promise<void>[] = [];
    const keeper = createKeeper(path, (soon) => work.push(soon));
    keeper.mark(...gone(1));
    keeper.mark(...gone(2));
    await Promise.all(work);
    expect(work).toHaveLength(1);
    expect(await lines()).toEqual([[1, 2]]);
    await keeper.close();
  });

  it("keeps what could not be written for the next flush", async () => {
    await symlink("/dev/full", `${path}.new`);
    const keeper = createKeeper(path, (soon) => void soon.catch(() => undefined));
    keeper.mark(...gone(1));
    await expect(keeper.flush()).rejects.toMatchObject({ code: "ENOSPC" });
    await rm(`${path}.new`);
    keeper.mark(...gone(2));
    await keeper.flush();
    expect(await lines()).toEqual([[1, 2]]);
    await keeper.close();
  });

  it("writes what is marked when it closes, and refuses to flush what is marked then", async () => {
    const keeper = createKeeper(path, (soon) => void soon.catch(() => undefined));
    keeper.mark(...gone(1));
    await keeper.close();
    expect(await lines()).toEqual([[1]]);
    await keeper.flush();
    keeper.mark(...gone(2));
    await expect(keeper.flush()).rejects.toMatchObject({ code: "closed" });
    expect(await lines()).toEqual([[1]]);
  });
});
