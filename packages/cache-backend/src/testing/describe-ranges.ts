import { expect, it } from "vitest";
import { canReadRanges } from "../abilities.ts";
import type { CacheStore, ReadsRanges } from "../store.ts";
import { bodyOf, readText } from "./bodies.ts";

export function describeRanges(open: () => CacheStore): void {
  const store = (): CacheStore & ReadsRanges => {
    const opened = open();
    if (!canReadRanges(opened)) throw new Error("the store cannot read ranges");
    return opened;
  };

  it.each([
    { start: 0, end: 1, text: "0" },
    { start: 3, end: 7, text: "3456" },
    { start: 0, end: 10, text: "0123456789" },
    { start: 8, end: 100, text: "89" },
    { start: 10, end: 20, text: "" },
  ])("opens the bytes from $start to $end", async ({ start, end, text }) => {
    await store().put("name", bodyOf("0123456789"), { metadata: { k: "v" } });
    const part = await store().getRange("name", { start, end });
    expect(await readText(part)).toBe(text);
    expect(part?.facts).toEqual(await store().head("name"));
  });

  it("opens nothing of an empty object, but has its facts", async () => {
    await store().put("empty", bodyOf(""));
    const part = await store().getRange("empty", { start: 0, end: 1 });
    expect(await readText(part)).toBe("");
    expect(part?.facts.bytes).toBe(0);
  });

  it("opens only the version that is asked for", async () => {
    const first = await store().put("name", bodyOf("first"));
    const range = { start: 1, end: 3, version: first.version };
    expect(await readText(await store().getRange("name", range))).toBe("ir");
    await store().put("name", bodyOf("other"));
    expect(await store().getRange("name", range)).toBeUndefined();
  });

  it("resolves to nothing when there is no such object", async () => {
    expect(await store().getRange("absent", { start: 0, end: 1 })).toBeUndefined();
    expect(await store().getRange("absent", { start: 0, end: 1, version: "any" })).toBeUndefined();
    await expect(store().getRange("../a", { start: 0, end: 1 })).rejects.toMatchObject({ code: "invalid-name" });
  });
}
