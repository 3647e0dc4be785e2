import { expect, it } from "vitest";
import { canList } from "../abilities.ts";
import type { CacheStore, ListsObjects } from "../store.ts";
import { bodyOf } from "./bodies.ts";

interface ServiceLimits {
  readonly unkeepable?: (name: string) => boolean;
  readonly unlistable?: (name: string, all: readonly string[]) => boolean;
}

export function describeLists(
  open: () => CacheStore,
  { unkeepable = () => false, unlistable = () => false }: ServiceLimits = {},
): void {
  const listable = (all: readonly string[]): string[] => all.filter((name) => !unlistable(name, all));
  const store = (): CacheStore & ListsObjects => {
    const opened = open();
    if (!canList(opened)) throw new Error("the store cannot list");
    return opened;
  };
  const names = async (prefix: string): Promise<string[]> => {
    const found: string[] = [];
    for await (const { name } of store().list(prefix)) found.push(name);
    return found;
  };

  it("lists nothing in an empty store", async () => {
    expect(await names("")).toEqual([]);
    expect(await names("a/b")).toEqual([]);
  });

  it("lists names in the order of their bytes", async () => {
    // U+FFFD sorts before U+1F600 by bytes and after it by UTF-16 units; `-` sorts before `/`, `0` after it.
    const ordered = listable(["A", "a", "a b", "a-b", "a/b", "a/b/c", "a0", "b", "\ufffd", "\u{1F600}"]);
    for (const name of ordered.toReversed()) await store().put(name, bodyOf("x"));
    expect(await names("")).toEqual(ordered);
  });

  it("lists exactly the names that start with the prefix, wherever it ends", async () => {
    const longest = `${"x".repeat(300)}/y`;
    const long = unkeepable(longest) ? `${"x".repeat(200)}/y` : longest;
    for (const name of listable(["a", "a/b", "a/bc", "a/c/d", "ab", "b", long])) await store().put(name, bodyOf("x"));
    expect(await names("a")).toEqual(listable(["a", "a/b", "a/bc", "a/c/d", "ab"]));
    expect(await names("a/")).toEqual(["a/b", "a/bc", "a/c/d"]);
    expect(await names("a/b")).toEqual(["a/b", "a/bc"]);
    expect(await names("x")).toEqual([long]);
    expect(await names("x".repeat(199))).toEqual([long]);
    expect(await names("c")).toEqual([]);
  });

  it("tells the length and the time that head tells", async () => {
    await store().put("a/b", bodyOf("12345"), {
      metadata: { cachekey: "long enough to be noticed if it were counted" },
    });
    const head = await store().head("a/b");
    for await (const found of store().list("a/")) {
      expect(found).toEqual({ name: "a/b", bytes: 5, modifiedAtMs: head?.modifiedAtMs });
    }
    expect(await names("a/")).toHaveLength(1);
  });

  it("refuses a prefix that leads elsewhere, and ends when its signal is aborted", async () => {
    const first = (prefix: string, signal?: AbortSignal): Promise<unknown> =>
      store().list(prefix, { signal })[Symbol.asyncIterator]().next();
    await expect(first("../")).rejects.toMatchObject({ code: "invalid-name" });
    await store().put("a", bodyOf("x"));
    const reason = new Error("no longer wanted");
    await expect(first("", AbortSignal.abort(reason))).rejects.toBe(reason);
  });
}
