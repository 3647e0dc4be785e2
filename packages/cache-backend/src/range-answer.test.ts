import { describe, expect, it } from "vitest";
import { partBehindEnd, partOfAnswer } from "./range-answer.ts";
import type { ObjectFacts, StoredObject } from "./store.ts";

const call = { store: "test", operation: "getRange", object: "a" };

function answered(bytes: number): StoredObject & { readonly released: () => boolean } {
  let isReleased = false;
  const body = new ReadableStream<Uint8Array>({ cancel: () => void (isReleased = true) }, { highWaterMark: 0 });
  return { facts: factsOf(bytes), body, released: () => isReleased };
}

function factsOf(bytes: number): ObjectFacts {
  return { bytes, modifiedAtMs: 0, version: "1", metadata: {} };
}

describe("the answer to a request for a part", () => {
  it.each([{}, { version: "1" }])("is the part, with the length of the whole, when %j is asked for", async (wanted) => {
    const answer = answered(10);
    expect(await partOfAnswer(call, { start: 5, ...wanted }, "bytes 5-14/40", answer)).toEqual({
      facts: factsOf(40),
      body: answer.body,
    });
    expect(answer.released()).toBe(false);
  });

  it.each([
    ["another version", { start: 5, version: "2" }],
    ["another place", { start: 6, version: "1" }],
  ])("is nothing, and is released, when it is of %s", async (_what, range) => {
    const answer = answered(10);
    expect(await partOfAnswer(call, range, "bytes 5-14/40", answer)).toBeUndefined();
    expect(answer.released()).toBe(true);
  });

  it.each([undefined, "bytes */40", "bytes 5-14/*"])(
    "with a Content-Range of %s is the whole object",
    async (header) => {
      const answer = answered(40);
      await expect(partOfAnswer(call, { start: 5 }, header, answer)).rejects.toMatchObject({ code: "ranges-ignored" });
      expect(answer.released()).toBe(true);
    },
  );

  it("may be an empty object", async () => {
    const answer = answered(0);
    expect(await partOfAnswer(call, { start: 0 }, undefined, answer)).toBe(answer);
  });
});

describe("a part behind the end", () => {
  it("is empty", async () => {
    const part = partBehindEnd({ version: "1" }, factsOf(3));
    expect(part?.facts).toEqual(factsOf(3));
    expect(await new Response(part?.body).text()).toBe("");
  });

  it("is nothing of another version, or of no object", () => {
    expect(partBehindEnd({ version: "2" }, factsOf(3))).toBeUndefined();
    expect(partBehindEnd({}, undefined)).toBeUndefined();
  });
});
