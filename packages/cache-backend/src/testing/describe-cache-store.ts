import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  canDelete,
  canList,
  canPresign,
  canPresignParts,
  canPutConditionally,
  canPutInParts,
  canReadRanges,
} from "../abilities.ts";
import type { CacheStore } from "../store.ts";
import { bodyOf, readBytes, readText, streamOf } from "./bodies.ts";
import { describeConditionalPuts } from "./describe-conditional-puts.ts";
import { describeDeletes } from "./describe-deletes.ts";
import { describeLists } from "./describe-lists.ts";
import { describePresignedParts } from "./describe-presigned-parts.ts";
import { describePresigning } from "./describe-presigning.ts";
import { describeRanges } from "./describe-ranges.ts";
import { describeTransfers } from "./describe-transfers.ts";

/** What a store can do beside the contract's core. */
export type StoreAbility = "delete" | "list" | "presign" | "parts" | "ranges" | "conditional" | "in-parts";

/** The store under test. */
export interface StoreUnderTest<Store extends CacheStore = CacheStore> {
  readonly store: Store;
  /** Releases what `open` made. */
  close(): Promise<void>;
}

export interface DescribeCacheStoreOptions {
  /** Exactly what the store can do; what it cannot do is not tested. */
  readonly abilities: readonly StoreAbility[];
  /** Abilities that this very service cannot show, though its vendor's can; test them by what is sent. @default [] */
  readonly untested?: readonly StoreAbility[];
  /** Whether this very service refuses what a presigned URL was not made for. @default true */
  readonly checksSignatures?: boolean;
  /** Names that this very service cannot keep though its vendor's can; they are left out. @default none */
  readonly unkeepable?: (name: string) => boolean;
  /** Names that this very service cannot list, or not where they belong, among others; they are left out. @default none */
  readonly unlistable?: (name: string, all: readonly string[]) => boolean;
  /** Opens an empty store; called before each test. */
  open(): Promise<StoreUnderTest>;
}

/**
 * Declares the tests that every cache store must pass, in a `describe` of their own. Call it at the top of a test file of
 * vitest, and give it the real thing.
 */
export function describeCacheStore(name: string, options: DescribeCacheStoreOptions): void {
  describe(`${name} as a cache store`, () => {
    let opened: StoreUnderTest;
    const store = (): CacheStore => opened.store;
    beforeEach(async () => {
      opened = await options.open();
    });
    afterEach(async () => {
      await opened.close();
    });

    it("has exactly the abilities that it is said to have", () => {
      const found = Object.entries(detectors).filter(([, detect]) => detect(store()));
      expect(found.map(([ability]) => ability).sort()).toEqual([...options.abilities].sort());
    });

    describeObjects(store);
    describeNames(store, options.unkeepable);
    describeAborts(store);
    const shows = (ability: StoreAbility): boolean =>
      options.abilities.includes(ability) && options.untested?.includes(ability) !== true;
    if (shows("delete")) describeDeletes(store);
    if (shows("list")) describeLists(store, options);
    if (shows("ranges")) describeRanges(store);
    if (shows("conditional")) describeConditionalPuts(store);
    if (shows("presign")) describePresigning(store, options.checksSignatures);
    if (shows("parts")) describePresignedParts(store);
    describeTransfers(store, options.abilities.includes("in-parts"));
  });
}

const detectors: Readonly<Record<StoreAbility, (store: CacheStore) => boolean>> = {
  delete: canDelete,
  list: canList,
  parts: canPresignParts,
  presign: canPresign,
  ranges: canReadRanges,
  conditional: canPutConditionally,
  "in-parts": canPutInParts,
};

function describeObjects(store: () => CacheStore): void {
  it("resolves to nothing for a name that was never put", async () => {
    expect(await store().head("absent")).toBeUndefined();
    expect(await store().get("absent")).toBeUndefined();
  });

  it("gives back the body and the facts that were put", async () => {
    const put = await store().put("a/b", bodyOf("content"), { metadata: { cachekey: "a b", "x-y": "" } });
    const head = await store().head("a/b");
    const object = await store().get("a/b");
    expect(await readText(object)).toBe("content");
    expect(object?.facts).toEqual(head);
    expect(head).toMatchObject({ bytes: 7, metadata: { cachekey: "a b", "x-y": "" }, version: put.version });
    expect(Number.isFinite(head?.modifiedAtMs)).toBe(true);
  });

  it("keeps an empty body", async () => {
    await store().put("empty", bodyOf(""));
    expect(await readText(await store().get("empty"))).toBe("");
    expect((await store().head("empty"))?.bytes).toBe(0);
  });

  it("keeps a body of several megabytes that comes in chunks of all sizes", async () => {
    const chunks = [1, 65_535, 65_536, 65_537, 3_000_000, 2].map((bytes, index) =>
      new Uint8Array(bytes).fill(index + 1),
    );
    const whole = Buffer.concat(chunks);
    await store().put("large", { bytes: whole.byteLength, open: () => streamOf(chunks) });
    const read = await readBytes(await store().get("large"));
    expect(Buffer.compare(read ?? new Uint8Array(), whole)).toBe(0);
  });

  it("replaces the whole object, its metadata too, and gives it another version", async () => {
    const first = await store().put("name", bodyOf("a longer first body"), { metadata: { first: "1" } });
    const second = await store().put("name", bodyOf("second"), { metadata: { second: "2" } });
    expect(second.version).not.toBe(first.version);
    const object = await store().get("name");
    expect(object?.facts).toMatchObject({ bytes: 6, metadata: { second: "2" }, version: second.version });
    expect(object?.facts.metadata).not.toHaveProperty("first");
    expect(await readText(object)).toBe("second");
  });

  it.each([
    { how: "shorter", content: "abc", bytes: 4 },
    { how: "longer", content: "abcde", bytes: 4 },
    { how: "empty, but announced as longer", content: "", bytes: 1 },
    { how: "there, but announced as empty", content: "a", bytes: 0 },
  ])("leaves the old object when the new body is $how", async ({ content, bytes }) => {
    await store().put("name", bodyOf("old"));
    const wrong = { bytes, open: () => bodyOf(content).open() };
    await expect(store().put("name", wrong)).rejects.toMatchObject({ code: "length-mismatch", retryable: false });
    await expect(store().put("fresh", wrong)).rejects.toMatchObject({ code: "length-mismatch" });
    expect(await readText(await store().get("name"))).toBe("old");
    expect(await store().head("fresh")).toBeUndefined();
  });

  it("leaves the old object when the new body breaks off", async () => {
    await store().put("name", bodyOf("old"));
    const error = new Error("the disk broke");
    const broken = { bytes: 6, open: () => streamOf([new Uint8Array(3)], { error }) };
    await expect(store().put("name", broken)).rejects.toThrow();
    expect(await readText(await store().get("name"))).toBe("old");
  });

  it("keeps one whole body when several are put at the same time", async () => {
    const bodies = Array.from({ length: 8 }, (_, index) => new Uint8Array(200_000 + index).fill(index));
    await Promise.all(bodies.map((bytes) => store().put("contended", bodyOf(bytes))));
    const read = (await readBytes(await store().get("contended"))) ?? new Uint8Array();
    expect(bodies.some((bytes) => Buffer.compare(bytes, read) === 0)).toBe(true);
  });

  it("shows the old object or the new one, never a part, while it is replaced", async () => {
    const bodies = [1, 2].map((index) => new Uint8Array(150_000 * index).fill(index));
    await store().put("replaced", bodyOf(bodies[0] ?? ""));
    const writing = (async () => {
      for (let round = 0; round < 10; round += 1) await store().put("replaced", bodyOf(bodies[(round + 1) % 2] ?? ""));
    })();
    const reads: Uint8Array[] = [];
    for (let round = 0; round < 20; round += 1) {
      const object = await store().get("replaced");
      reads.push((await readBytes(object)) ?? new Uint8Array());
      expect(reads.at(-1)?.byteLength).toBe(object?.facts.bytes);
    }
    await writing;
    for (const read of reads) expect(bodies.some((bytes) => Buffer.compare(bytes, read) === 0)).toBe(true);
  });

  it("stays usable after a body was cancelled unread", async () => {
    await store().put("name", bodyOf(new Uint8Array(1_000_000)));
    for (let round = 0; round < 5; round += 1) await (await store().get("name"))?.body.cancel();
    expect((await readBytes(await store().get("name")))?.byteLength).toBe(1_000_000);
  });

  it("refuses metadata that not every store could keep", async () => {
    for (const metadata of [{ Upper: "x" }, { "": "x" }, { key: "two\nlines" }]) {
      const put = store().put("name", bodyOf("x"), { metadata });
      await expect(put).rejects.toMatchObject({ code: "invalid-metadata", retryable: false });
    }
    expect(await store().head("name")).toBeUndefined();
  });
}

function describeNames(store: () => CacheStore, unkeepable: (name: string) => boolean = () => false): void {
  const distinct = [
    "a",
    "a/b",
    "a.b",
    "a b",
    "a%2fb",
    "a%",
    "a+b",
    "a#b",
    "a?b=c&d",
    "a~b",
    "A",
    "ä",
    "a\u0308",
    "日本/語",
    "\u{1F600}",
    "...",
    ".a",
    "a'\"<>|*:b",
    `${"x".repeat(300)}/y`,
    `${"x".repeat(300)}z`,
    "n".repeat(1024),
  ].filter((name) => !unkeepable(name));

  it("keeps unlike names apart, whatever characters they have", async () => {
    for (const [index, name] of distinct.entries()) await store().put(name, bodyOf(`content ${index}`));
    const contents: (string | undefined)[] = [];
    for (const name of distinct) contents.push(await readText(await store().get(name)));
    expect(contents).toEqual(distinct.map((_, index) => `content ${index}`));
  });

  const climbing = ["..", "../a", "a/..", "a/../b", "a/../../b", ".", "./a", "a/./b"];
  const notClean = ["", "/", "/a", "a/", "a//b", "a\\b", "a\0b", "a\nb", "\ud800", "n".repeat(1025)];
  it.each([...climbing, ...notClean])("refuses the name %j", async (name) => {
    const refused = { code: "invalid-name", retryable: false };
    await expect(store().head(name)).rejects.toMatchObject(refused);
    await expect(store().get(name)).rejects.toMatchObject(refused);
    await expect(store().put(name, bodyOf("x"))).rejects.toMatchObject(refused);
  });
}

function describeAborts(store: () => CacheStore): void {
  it("rejects with the signal's reason when it was aborted before", async () => {
    const reason = new Error("no longer wanted");
    const signal = AbortSignal.abort(reason);
    await expect(store().head("name", { signal })).rejects.toBe(reason);
    await expect(store().get("name", { signal })).rejects.toBe(reason);
    await expect(store().put("name", bodyOf("x"), { signal })).rejects.toBe(reason);
    expect(await store().head("name")).toBeUndefined();
  });

  it("leaves nothing of a put that is aborted half-way", async () => {
    await store().put("name", bodyOf("old"));
    const reason = new Error("no longer wanted");
    for (const name of ["name", "fresh"]) {
      const abort = new AbortController();
      let asked = 0;
      const pull = (controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> | void => {
        asked += 1;
        if (asked === 1) return controller.enqueue(new Uint8Array(3));
        // Asked for a second chunk, so the store has taken the first one, and now waits.
        abort.abort(reason);
        return new Promise(() => {});
      };
      const half = new ReadableStream<Uint8Array>({ pull }, { highWaterMark: 0 });
      const put = store().put(name, { bytes: 1_000_000, open: () => half }, { signal: abort.signal });
      await expect(put).rejects.toBe(reason);
    }
    expect(await readText(await store().get("name"))).toBe("old");
    expect(await store().head("fresh")).toBeUndefined();
  });

  it("ends the reading of a body when its signal is aborted", async () => {
    await store().put("name", bodyOf(new Uint8Array(8_000_000)));
    const abort = new AbortController();
    const reader = (await store().get("name", { signal: abort.signal }))?.body.getReader();
    await reader?.read();
    const reason = new Error("no longer wanted");
    abort.abort(reason);
    const readOn = async (): Promise<void> => {
      for (let next = await reader?.read(); next?.done === false; next = await reader?.read());
    };
    await expect(readOn()).rejects.toBe(reason);
  });
}
