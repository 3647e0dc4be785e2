import { createHash } from "node:crypto";
import { createMemoryStore } from "@fleetfoot/cache-backend";
import type { PutBody } from "@fleetfoot/cache-backend";
import { expect, it } from "vitest";
import { SharedRecords } from "./shared-records.ts";

it("writes at most 16 records at once, however many are saved, and goes on after those that fail", async () => {
  let running = 0;
  let most = 0;
  const tried: string[] = [];
  const memory = createMemoryStore();
  const put = async (name: string, body: PutBody): ReturnType<typeof memory.put> => {
    running += 1;
    most = Math.max(most, running);
    tried.push(name);
    await new Promise((resolve) => setImmediate(resolve));
    running -= 1;
    if (tried.length % 10 === 0) throw new Error("the store does not take it");
    return memory.put(name, body);
  };
  const background: Promise<void>[] = [];
  const records = new SharedRecords({
    store: Object.assign(createMemoryStore(), { put }),
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
