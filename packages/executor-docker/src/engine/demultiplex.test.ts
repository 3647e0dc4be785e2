import { Readable, Writable } from "node:stream";
import { describe, expect, it } from "vitest";
import { demultiplex, StreamError } from "./demultiplex.ts";
import { TextSink } from "./text-sink.ts";

function frame(kind: number, text: string): Buffer {
  const body = Buffer.from(text);
  const header = Buffer.alloc(8);
  header[0] = kind;
  header.writeUInt32BE(body.length, 4);
  return Buffer.concat([header, body]);
}

async function run(chunks: readonly Buffer[], skip?: { stdout: number; stderr: number }): Promise<object> {
  const [stdout, stderr] = [new TextSink(), new TextSink()];
  const count = { stdout: 0, stderr: 0 };
  await demultiplex(Readable.from(chunks, { objectMode: false }), { stdout, stderr }, count, skip);
  return { stdout: stdout.text, stderr: stderr.text, count };
}

describe("demultiplex", () => {
  const bytes = Buffer.concat([frame(1, "one "), frame(2, "error"), frame(1, ""), frame(1, "two")]);
  const expected = { stdout: "one two", stderr: "error", count: { stdout: 7, stderr: 5 } };

  it("takes frames apart, wherever chunks end", async () => {
    for (let at = 0; at <= bytes.length; at += 1) {
      expect(await run([bytes.subarray(0, at), bytes.subarray(at)].filter((part) => part.length > 0))).toEqual(
        expected,
      );
    }
    expect(await run([...bytes].map((byte) => Buffer.from([byte])))).toEqual(expected);
  });

  it("leaves out what was delivered before, across frames", async () => {
    expect(await run([bytes], { stdout: 5, stderr: 1 })).toEqual({
      stdout: "wo",
      stderr: "rror",
      count: { stdout: 2, stderr: 4 },
    });
  });

  it("writes 20,000 frames of one character without growing the stack", async () => {
    const many = Buffer.concat(Array.from({ length: 20_000 }, () => frame(1, "x")));
    expect(await run([many])).toMatchObject({ count: { stdout: 20_000 } });
  });

  it("rejects with the engine's own words when it reports an error in the stream", async () => {
    await expect(run([frame(1, "a"), frame(3, "it broke")])).rejects.toThrow(new StreamError("it broke"));
  });

  it("reads no faster than the destination takes", async () => {
    let open: (() => void) | undefined;
    const slow = new Writable({
      highWaterMark: 1,
      write: (_chunk, _encoding, done) => {
        open = done;
      },
    });
    let pulled = 0;
    const source = Readable.from(
      (function* (): Generator<Buffer> {
        for (; pulled < 100; pulled += 1) yield frame(1, "y".repeat(1000));
      })(),
      { objectMode: false, highWaterMark: 1 },
    );
    const done = demultiplex(source, { stdout: slow, stderr: slow }, { stdout: 0, stderr: 0 });
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
    expect(pulled).toBeLessThan(5);
    const drain = setInterval(() => open?.(), 0);
    await done;
    clearInterval(drain);
    expect(pulled).toBe(100);
  });
});
