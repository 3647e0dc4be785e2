import { expect, it } from "vitest";
import { canDelete } from "../abilities.ts";
import type { CacheStore, DeletesObjects } from "../store.ts";
import { bodyOf, readText } from "./bodies.ts";

export function describeDeletes(open: () => CacheStore): void {
  const store = (): CacheStore & DeletesObjects => {
    const opened = open();
    if (!canDelete(opened)) throw new Error("the store cannot delete");
    return opened;
  };

  it("deletes only the object of that name, and says whether there was one", async () => {
    for (const name of ["a", "a/b", "ab", "A"]) await store().put(name, bodyOf(name));
    expect(await store().delete("a")).toBe(true);
    expect(await store().delete("a")).toBe(false);
    expect(await store().delete("a/c")).toBe(false);
    expect(await store().head("a")).toBeUndefined();
    for (const name of ["a/b", "ab", "A"]) expect(await readText(await store().get(name))).toBe(name);
  });

  it("takes a deleted name again", async () => {
    await store().put("a/b", bodyOf("old"));
    await store().delete("a/b");
    await store().put("a/b", bodyOf("new"));
    expect(await readText(await store().get("a/b"))).toBe("new");
  });

  it("deletes only the version that is named, and leaves one that was put meanwhile", async () => {
    const old = await store().put("a", bodyOf("damaged"));
    const current = await store().put("a", bodyOf("good"));
    expect(await store().delete("a", { ifVersion: old.version })).toBe(false);
    expect(await readText(await store().get("a"))).toBe("good");
    expect(await store().delete("a", { ifVersion: current.version })).toBe(true);
    expect(await store().head("a")).toBeUndefined();
    expect(await store().delete("a", { ifVersion: current.version })).toBe(false);
  });

  it("takes a version that the store could never have given for one that is not there", async () => {
    await store().put("a", bodyOf("kept"));
    expect(await store().delete("a", { ifVersion: "no version of this store" })).toBe(false);
    expect(await readText(await store().get("a"))).toBe("kept");
  });

  it("deletes nothing when the name leads elsewhere or the signal was aborted", async () => {
    await store().put("a", bodyOf("kept"));
    await expect(store().delete("b/../a")).rejects.toMatchObject({ code: "invalid-name" });
    const reason = new Error("no longer wanted");
    await expect(store().delete("a", { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(await readText(await store().get("a"))).toBe("kept");
  });
}
