import { createHash } from "node:crypto";
import { createMemoryStore } from "@fleetfoot/cache-backend";
import type { PutBody } from "@fleetfoot/cache-backend";
import { expect, it } from "vitest";
import { openingName } from "./layout.ts";
import { SharedRecords } from "./shared-records.ts";
import { bodyOfBytes, readWhole } from "./whole-object.ts";

const early = "2026-11-22T01:00:00.000Z 00000001";
const late = "2026-11-22T02:00:00.000Z 00000001";
const digest = `sha256:${"a".repeat(64)}`;
const tag = { digest, mediaType: "text/plain", bytes: 1, fetchedAtMs: 1, openTo: "mirror" };
const digestRecord = `meta/hub/org/app/_digests/${digest.replace(":", "-")}`;

it.each([
  ["of a digest, in its place", digestRecord, { bytes: 1 }, { bytes: 1, openTo: "mirror", era: early }, true],
  [
    "of a digest, of a later era",
    digestRecord,
    { bytes: 1, openTo: "mirror", era: early },
    { bytes: 2, openTo: "mirror", era: late },
    true,
  ],
  [
    "of a digest, of the same era",
    digestRecord,
    { bytes: 1, openTo: "mirror", era: late },
    { bytes: 2, openTo: "mirror", era: late },
    true,
  ],
  [
    "of a digest, of an earlier era",
    digestRecord,
    { bytes: 1, openTo: "mirror", era: late },
    { bytes: 2, openTo: "mirror", era: early },
    false,
  ],
  [
    "of a digest, of no era",
    digestRecord,
    { bytes: 1, openTo: "mirror", era: early },
    { bytes: 2, openTo: "mirror" },
    false,
  ],
  [
    "of a tag, checked later",
    "meta/hub/org/app/_tags/v1",
    { ...tag, checkedAtMs: 1 },
    { ...tag, checkedAtMs: 2 },
    true,
  ],
  [
    "of a tag, checked earlier",
    "meta/hub/org/app/_tags/v1",
    { ...tag, checkedAtMs: 2 },
    { ...tag, checkedAtMs: 1 },
    false,
  ],
  [
    "of a tag, checked earlier in a later era",
    "meta/hub/org/app/_tags/v1",
    { ...tag, checkedAtMs: 2, era: early },
    { ...tag, checkedAtMs: 1, era: late },
    true,
  ],
  [
    "of a tag, checked later in an earlier era",
    "meta/hub/org/app/_tags/v1",
    { ...tag, checkedAtMs: 1, era: late },
    { ...tag, checkedAtMs: 2, era: early },
    false,
  ],
] as const)(
  "puts a record in the place of another one only if that is not from a later era: %s",
  async (_case, name, known, saved, isPut) => {
    const memory = createMemoryStore();
    // Of stores that cannot put conditionally, too.
    for (const store of [memory, { kind: memory.kind, head: memory.head, get: memory.get, put: memory.put }]) {
      await memory.put(name, bodyOfBytes(Buffer.from(JSON.stringify(known))));
      const background: Promise<void>[] = [];
      const run = (action: () => Promise<void>): void => void background.push(action());
      new SharedRecords({ store, run, signal: new AbortController().signal }).save(name, JSON.stringify(saved));
      await Promise.all(background);
      const text = (await readWhole(memory, name, 1000))?.content?.toString() ?? "";
      expect(JSON.parse(text)).toEqual(isPut ? saved : known);
    }
  },
);

it("tells once that a name was opened again, and nothing of earlier eras; what failed is told again", async () => {
  const memory = createMemoryStore();
  let puts = 0;
  const putIf = (...args: Parameters<typeof memory.putIf>): ReturnType<typeof memory.putIf> => {
    puts += 1;
    return puts === 1 ? Promise.reject(new Error("503 SlowDown")) : memory.putIf(...args);
  };
  const store = { ...memory, putIf };
  const create = (): SharedRecords => new SharedRecords({ store, run: () => {}, signal: new AbortController().signal });
  const place = { upstream: { id: "hub" }, name: "org/app" };
  const written = async (): Promise<unknown> =>
    (await readWhole(memory, openingName(place), 1000))?.content?.toString();
  const records = create();
  await expect(records.open(place, early)).rejects.toThrow("503 SlowDown");
  for (let round = 0; round < 3; round += 1) await records.open(place, early);
  expect([await written(), puts]).toEqual([early, 2]);
  await create().open(place, late);
  expect([await written(), puts]).toEqual([late, 3]);
  await create().open(place, early);
  expect([await written(), puts]).toEqual([late, 3]);
});

it("writes a digest that is new with a single request", async () => {
  const memory = createMemoryStore();
  const asked: string[] = [];
  const store = {
    ...memory,
    get: (...[name, ...more]: Parameters<typeof memory.get>) => {
      asked.push(`get ${name}`);
      return memory.get(name, ...more);
    },
    putIf: (...[name, ...more]: Parameters<typeof memory.putIf>) => {
      asked.push(`put ${name}`);
      return memory.putIf(name, ...more);
    },
  };
  const background: Promise<void>[] = [];
  const run = (action: () => Promise<void>): void => void background.push(action());
  new SharedRecords({ store, run, signal: new AbortController().signal }).save(digestRecord, "{}");
  await Promise.all(background);
  expect(asked).toEqual([`put ${digestRecord}`]);
});

it("writes at most 16 records at once, however many are saved, and goes on after those that fail", async () => {
  let running = 0;
  let most = 0;
  const tried: string[] = [];
  const memory = createMemoryStore();
  const putIf = async (name: string, body: PutBody): ReturnType<typeof memory.putIf> => {
    running += 1;
    most = Math.max(most, running);
    tried.push(name);
    await new Promise((resolve) => setImmediate(resolve));
    running -= 1;
    if (tried.length % 10 === 0) throw new Error("the store does not take it");
    return memory.putIf(name, body, { absent: true });
  };
  const background: Promise<void>[] = [];
  const records = new SharedRecords({
    store: Object.assign(createMemoryStore(), { putIf }),
    run: (action) => void background.push(action().catch(() => {})),
    signal: new AbortController().signal,
  });
  const names = Array.from({ length: 200 }, (_, index) => {
    const hex = createHash("sha256").update(String(index)).digest("hex");
    return `meta/hub/org/app/_digests/sha256-${hex}`;
  });
  for (const name of names) records.save(name, JSON.stringify({ bytes: 1 }));
  await Promise.all(background);
  expect(tried.toSorted()).toEqual(names.toSorted());
  expect(most).toBe(16);
});
