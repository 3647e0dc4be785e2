import { describe, expect, it } from "vitest";
import { createMemoryStore } from "./memory-store.ts";
import { bodyOf, describeCacheStore, readText } from "./testing/index.ts";

describeCacheStore("the memory store", {
  abilities: ["conditional", "delete", "list", "ranges"],
  open: async () => ({ store: createMemoryStore(), close: async () => {} }),
});

describe("the memory store", () => {
  it("tells the time of the put by its clock", async () => {
    let now = 1000;
    const store = createMemoryStore({ now: () => now });
    await store.put("name", bodyOf("x"));
    now = 5000;
    expect((await store.head("name"))?.modifiedAtMs).toBe(1000);
  });

  it("keeps its own copy of what was put", async () => {
    const store = createMemoryStore();
    const bytes = new Uint8Array([97]);
    await store.put("name", bodyOf(bytes));
    bytes[0] = 98;
    expect(await readText(await store.get("name"))).toBe("a");
  });
});
