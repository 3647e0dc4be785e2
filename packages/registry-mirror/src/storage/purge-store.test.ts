import { createMemoryStore } from "@fleetfoot/cache-backend";
import type { CacheStore, DeletesObjects, ListsObjects } from "@fleetfoot/cache-backend";
import { describe, expect, it } from "vitest";
import type { Digest } from "../reference/grammar.ts";
import { blobName } from "./layout.ts";
import { purgeStore } from "./purge-store.ts";
import { bodyOfBytes } from "./whole-object.ts";

type Store = CacheStore & DeletesObjects & ListsObjects;

describe("a purge of a store", () => {
  const { signal } = new AbortController();
  const count = 200;
  const digestOf = (index: number): Digest => `sha256:${String(index).padStart(64, "0")}`;
  /** Belongs to what goes and to what stays. */
  const common = digestOf(0);

  async function filled(): Promise<Store> {
    const store = createMemoryStore();
    const put = (name: string, text: string): Promise<unknown> => store.put(name, bodyOfBytes(Buffer.from(text)));
    for (let index = 0; index < count; index += 1) {
      const digest = digestOf(index);
      await put(blobName(digest), "blob");
      for (const name of index === 0 ? ["org/gone", "org/kept"] : [index % 2 === 0 ? "org/gone" : "org/kept"])
        await put(
          `meta/hub/${name}/_digests/${digest.replace(":", "-")}`,
          JSON.stringify({ mediaType: "application/octet-stream", bytes: 4 }),
        );
    }
    return store;
  }

  /** Counts what is asked at the same time, and may fail. */
  function watched(
    store: Store,
    onGet: (gets: number) => void,
  ): { readonly store: Store; most(): number; ahead(): number } {
    let now = 0;
    let most = 0;
    let gets = 0;
    let listed = 0;
    let ahead = 0;
    const counted: Store = {
      ...store,
      async get(name, options) {
        now += 1;
        gets += 1;
        most = Math.max(most, now);
        try {
          onGet(gets);
          await new Promise((resolve) => setImmediate(resolve));
          return await store.get(name, options);
        } finally {
          now -= 1;
        }
      },
      async *list(prefix, options) {
        for await (const object of store.list(prefix, options)) {
          listed += 1;
          // Records that go are read in the first pass, the others in the second.
          ahead = Math.max(ahead, listed - 2 * gets);
          yield object;
        }
      },
    };
    return { store: counted, most: () => most, ahead: () => ahead };
  }

  it("removes what fits with its own blobs, asks for some at a time, and reads no list ahead", async () => {
    const store = await filled();
    const { ahead, most, store: counted } = watched(store, () => {});
    const purged = await purgeStore(counted, ({ name }) => name === "org/gone", signal);
    expect([purged.records.length, purged.blobs.length]).toEqual([count / 2, count / 2 - 1]);
    expect(purged.blobs).not.toContain(common);
    const left: string[] = [];
    for await (const { name } of store.list("")) left.push(name);
    expect(left.filter((name) => name.startsWith("meta/"))).toHaveLength(count / 2 + 1);
    expect(left.filter((name) => name.startsWith("blobs/"))).toHaveLength(count / 2 + 1);
    expect(most()).toBe(16);
    expect(ahead()).toBeLessThan(count);
  });

  it("asks for nothing more when one answer is a failure, and removes nothing then", async () => {
    let asked = 0;
    const { store } = watched(await filled(), (gets) => {
      asked = gets;
      if (gets === 20) throw new Error("the store fails");
    });
    await expect(purgeStore(store, () => true, signal)).rejects.toThrow("the store fails");
    expect(asked).toBeLessThan(20 + 16);
    const left: string[] = [];
    for await (const { name } of store.list("blobs/")) left.push(name);
    expect(left).toHaveLength(count);
  });

  it("ends when its signal is aborted", async () => {
    const stop = new AbortController();
    let asked = 0;
    const { store } = watched(await filled(), (gets) => {
      asked = gets;
      if (gets === 20) stop.abort(new Error("closed"));
    });
    await expect(purgeStore(store, () => true, stop.signal)).rejects.toThrow("closed");
    expect(asked).toBeLessThan(20 + 16);
  });
});
