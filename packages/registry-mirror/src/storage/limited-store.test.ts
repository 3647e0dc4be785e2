import { bodyFrom, createMemoryStore } from "@fleetfoot/cache-backend";
import type { CacheStore, MemoryStore, PutBody, StoredObject } from "@fleetfoot/cache-backend";
import { beforeEach, describe, expect, it } from "vitest";
import { createManualClock } from "../testing/manual-clock.ts";
import type { ManualClock } from "../testing/manual-clock.ts";
import { limitWaits } from "./limited-store.ts";

describe("a store that may be silent", () => {
  let clock: ManualClock;
  let memory: MemoryStore;
  let asked: string[];
  let isSilent: boolean;

  beforeEach(async () => {
    clock = createManualClock();
    memory = createMemoryStore();
    asked = [];
    isSilent = false;
    await memory.put("known", bodyOf("content"));
  });

  /** Says nothing while it is silent. */
  const limited = (change: Partial<CacheStore> = {}): CacheStore & Pick<MemoryStore, "delete" | "list" | "putIf"> => {
    const answer = async <Result>(operation: string, action: () => Promise<Result>): Promise<Result> => {
      asked.push(operation);
      return isSilent ? new Promise<never>(() => {}) : action();
    };
    const store = {
      ...memory,
      head: (name: string) => answer("head", () => memory.head(name)),
      get: (name: string) => answer("get", () => memory.get(name)),
      getRange: (name: string, range: { start: number; end: number }) =>
        answer("getRange", () => memory.getRange(name, range)),
      put: (name: string, body: PutBody) => answer("put", () => memory.put(name, body)),
      delete: (name: string) => answer("delete", () => memory.delete(name)),
      async *list(prefix: string) {
        await answer("list", async () => {});
        yield* memory.list(prefix);
      },
      ...change,
    };
    return limitWaits(store, { clock, answerMs: 5000, uploadMs: 60_000 }) as ReturnType<typeof limited>;
  };

  it("answers like itself while it is not", async () => {
    const store = limited();
    expect((await store.head("known"))?.bytes).toBe(7);
    expect(await textOf(await store.get("known"))).toBe("content");
    await store.put("new", bodyOf("more"));
    const names: string[] = [];
    for await (const { name } of store.list("")) names.push(name);
    expect(names).toEqual(["known", "new"]);
    expect(await store.putIf("new", bodyOf("again"), { absent: true })).toBeUndefined();
    expect(await store.delete("new")).toBe(true);
    const { get, head, kind, put } = memory;
    expect(Object.keys(limitWaits({ get, head, kind, put }, { clock, answerMs: 1, uploadMs: 1 })).toSorted()).toEqual([
      "get",
      "head",
      "kind",
      "put",
    ]);
  });

  it.each<[string, (store: ReturnType<typeof limited>) => Promise<unknown>]>([
    ["head", (store) => store.head("known")],
    ["get", (store) => store.get("known")],
    ["delete", (store) => store.delete("known")],
    ["list", async (store) => store.list("")[Symbol.asyncIterator]().next()],
  ])("is not waited for longer than its time for an answer: %s", async (_operation, ask) => {
    isSilent = true;
    const waiting = expect(ask(limited())).rejects.toMatchObject({ code: "timeout" });
    await clock.advance(5000);
    await waiting;
  });

  it("is left alone for a moment then, and tried by one request at a time", async () => {
    const store = limited();
    isSilent = true;
    const first = expect(store.head("known")).rejects.toMatchObject({ code: "timeout" });
    await clock.advance(5000);
    await first;
    await expect(store.head("known")).rejects.toMatchObject({ code: "unavailable" });
    await expect(store.put("new", bodyOf("more"))).rejects.toMatchObject({ code: "unavailable" });
    expect(asked).toEqual(["head"]);
    await clock.advance(2000);
    isSilent = false;
    const probes = await Promise.allSettled([store.head("known"), store.head("known")]);
    expect(probes.map(({ status }) => status)).toEqual(["fulfilled", "rejected"]);
    expect((await store.head("known"))?.bytes).toBe(7);
  });

  it("is not waited for in the middle of a body, which is closed", async () => {
    let isClosed = false;
    const half = async (): Promise<StoredObject | undefined> => {
      const object = await memory.get("known");
      return object && { ...object, body: stallingBody(() => void (isClosed = true)) };
    };
    const object = await limited({ get: half }).get("known");
    const waiting = expect(textOf(object)).rejects.toMatchObject({ code: "timeout" });
    await clock.advance(5000);
    await waiting;
    expect(isClosed).toBe(true);
  });

  it("closes a body of which nothing was read", async () => {
    const closed = Promise.withResolvers<void>();
    const get = async (): Promise<StoredObject | undefined> => {
      const object = await memory.get("known");
      return object && { ...object, body: stallingBody(() => closed.resolve()) };
    };
    await (await limited({ get }).get("known"))?.body.cancel();
    await closed.promise;
  });

  it("closes what it opens too late", async () => {
    const late = Promise.withResolvers<void>();
    const closed = Promise.withResolvers<void>();
    const get = async (): Promise<StoredObject | undefined> => {
      await late.promise;
      const object = await memory.get("known");
      return object && { ...object, body: stallingBody(() => closed.resolve()) };
    };
    const waiting = expect(limited({ get }).get("known")).rejects.toMatchObject({ code: "timeout" });
    await clock.advance(5000);
    await waiting;
    late.resolve();
    await closed.promise;
  });

  it("may take long over an upload that goes on, and not over one that does not", async () => {
    const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    async function* slowly(): AsyncGenerator<Uint8Array, void, void> {
      for (const { promise } of gates) {
        await promise;
        yield Buffer.from("x");
      }
    }
    const store = limited();
    const put = store.put("slow", { bytes: 3, open: () => bodyFrom(slowly()) });
    for (const gate of gates) {
      await clock.advance(50_000);
      gate.resolve();
      await clock.advance(0);
    }
    expect((await put).bytes).toBe(3);
    const stalled = store.put("stalled", { bytes: 8, open: () => stallingBody(() => {}) });
    const waiting = expect(stalled).rejects.toMatchObject({ code: "timeout" });
    await clock.advance(60_000);
    await waiting;
  });

  it("rejects with the reason of a signal, and is asked again at once", async () => {
    const store = limited();
    isSilent = true;
    const leaving = new AbortController();
    const waiting = store.head("known", { signal: leaving.signal });
    leaving.abort(new Error("left"));
    await expect(waiting).rejects.toThrow("left");
    isSilent = false;
    expect((await store.head("known"))?.bytes).toBe(7);
  });
});

function bodyOf(text: string): PutBody {
  const content = Buffer.from(text);
  return { bytes: content.byteLength, open: () => new Blob([content]).stream() };
}

/** Gives four bytes, and then nothing more. */
function stallingBody(onCancel: () => void): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>(
    { start: (controller) => controller.enqueue(Buffer.from("half")), cancel: onCancel },
    { highWaterMark: 0 },
  );
}

async function textOf(object: StoredObject | undefined): Promise<string> {
  return new Response(object?.body).text();
}
