import { expect, it } from "vitest";
import { canPutConditionally } from "../abilities.ts";
import type { CacheStore, ObjectFacts, PutsConditionally } from "../store.ts";
import { bodyOf, readText } from "./bodies.ts";

export function describeConditionalPuts(open: () => CacheStore): void {
  const store = (): CacheStore & PutsConditionally => {
    const opened = open();
    if (!canPutConditionally(opened)) throw new Error("the store cannot put conditionally");
    return opened;
  };

  it("puts where there is nothing, and leaves what is there", async () => {
    const first = await store().putIf("name", bodyOf("first"), { absent: true }, { metadata: { k: "v" } });
    expect(first).toMatchObject({ bytes: 5 });
    expect(await store().putIf("name", bodyOf("second"), { absent: true })).toBeUndefined();
    const object = await store().get("name");
    expect(object?.facts).toMatchObject({ version: first?.version });
    // Nothing that a store keeps for itself.
    expect([first?.metadata, object?.facts.metadata]).toEqual([{ k: "v" }, { k: "v" }]);
    expect(await readText(object)).toBe("first");
  });

  it("replaces only the version that is named", async () => {
    const first = await store().put("name", bodyOf("first"));
    const second = await store().putIf("name", bodyOf("second"), { version: first.version });
    expect(second?.version).not.toBe(first.version);
    expect(await store().putIf("name", bodyOf("third"), { version: first.version })).toBeUndefined();
    expect(await readText(await store().get("name"))).toBe("second");
    expect(await store().putIf("absent", bodyOf("x"), { version: first.version })).toBeUndefined();
    expect(await store().head("absent")).toBeUndefined();
  });

  it("lets exactly one of several win the same condition", async () => {
    const winners = async (condition: { absent: true } | { version: string }): Promise<ObjectFacts[]> => {
      // Some services make the version from the content, so no two contents may be equal.
      const text = (index: number): string => `${JSON.stringify(condition)} from ${index}`;
      const put = (index: number): Promise<ObjectFacts | undefined> =>
        store().putIf("contended", bodyOf(text(index)), condition);
      const facts = await Promise.all(Array.from({ length: 6 }, (_, index) => put(index)));
      return facts.filter((won) => won !== undefined);
    };
    const first = await winners({ absent: true });
    expect(first).toHaveLength(1);
    const second = await winners({ version: first[0]?.version ?? "" });
    expect(second).toHaveLength(1);
    expect((await store().head("contended"))?.version).toBe(second[0]?.version);
  });

  it("refuses a body of the wrong length and a name that leads elsewhere", async () => {
    const short = { bytes: 5, open: () => bodyOf("abc").open() };
    await expect(store().putIf("name", short, { absent: true })).rejects.toMatchObject({ code: "length-mismatch" });
    expect(await store().head("name")).toBeUndefined();
    await expect(store().putIf("../a", bodyOf("x"), { absent: true })).rejects.toMatchObject({ code: "invalid-name" });
  });
}
