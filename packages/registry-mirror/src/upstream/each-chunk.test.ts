import { Readable } from "node:stream";
import { describe, expect, it } from "vitest";
import { eachChunk } from "./each-chunk.ts";

describe("each chunk of a stream", () => {
  it("is given in order, and none while the one before is looked after", async () => {
    const stream = new Readable({ read() {} });
    for (const text of ["one", "two", "three"]) stream.push(text);
    stream.push(null);
    const seen: string[] = [];
    let isBusy = false;
    await eachChunk(
      stream,
      async (chunk) => {
        expect(isBusy).toBe(false);
        isBusy = true;
        await new Promise((resolve) => setImmediate(resolve));
        seen.push(Buffer.from(chunk).toString());
        isBusy = false;
      },
      { ownsMemory: false },
    );
    expect(seen.join(" ")).toBe("one two three");
  });

  it("gives back memory that is the chunk's own, and no other", async () => {
    const shared = Buffer.alloc(100, "shared");
    const chunks = [Buffer.from(new ArrayBuffer(50)), shared.subarray(0, 40), shared.subarray(40)];
    for (const ownsMemory of [false, true]) {
      const stream = Readable.from(chunks, { objectMode: true });
      await eachChunk(stream, () => undefined, { ownsMemory });
      await new Promise((resolve) => setImmediate(resolve));
      expect(chunks.map(({ byteLength }) => byteLength)).toEqual([ownsMemory ? 0 : 50, 40, 60]);
    }
  });

  it("ends with what a call throws, and with the stream's error only when the last call is over", async () => {
    const thrown = new Error("thrown");
    const throwing = eachChunk(
      Readable.from([Buffer.from("one")]),
      () => {
        throw thrown;
      },
      { ownsMemory: true },
    );
    await expect(throwing).rejects.toBe(thrown);

    const gate = Promise.withResolvers<void>();
    const stream = new Readable({ read() {} });
    stream.push("one");
    let isOver = false;
    const broken = eachChunk(
      stream,
      async () => {
        stream.destroy(new Error("broken"));
        await gate.promise;
        isOver = true;
      },
      { ownsMemory: false },
    );
    stream.once("close", () => setImmediate(() => gate.resolve()));
    await expect(broken).rejects.toThrow("broken");
    expect(isOver).toBe(true);
  });
});
