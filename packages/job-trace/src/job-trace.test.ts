import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import { crc32 } from "node:zlib";

import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { JobTraceError } from "./errors.ts";
import { openJobTrace } from "./job-trace.ts";
import type { JobTrace, TraceStreamOptions } from "./types.ts";

const STDOUT: TraceStreamOptions = { source: "job", channel: "stdout" };
const STDERR: TraceStreamOptions = { source: "job", channel: "stderr" };

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "job-trace-"));
});

afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

describe("openJobTrace", () => {
  it.each([
    { text: "hello world\n", checksum: "crc32:af083b2d", size: 12 },
    { text: "naïve\n", checksum: "crc32:96d3cd7f", size: 7 },
    { text: "line 93\n", checksum: "crc32:005208b3", size: 8 },
    { text: "", checksum: "crc32:00000000", size: 0 },
  ])("knows size $size and checksum $checksum at once, before anything is on the disk", async ({ text, ...facts }) => {
    await using trace = await openJobTrace({ directory });
    trace.openStream(STDOUT).write(text);
    expect({ checksum: trace.checksum, size: trace.size }).toEqual(facts);
    expect(await readAll(trace)).toBe(text);
  });

  it("CP A50: computes the checksum over the masked bytes, and the value is nowhere in the file", async () => {
    await using trace = await openJobTrace({ directory, maskedValues: ["s3cretvalue"] });
    trace.openStream(STDOUT).write("key s3cretvalue\n");
    await trace.close();
    expect(await readAll(trace)).toBe("key [MASKED]\n");
    expect(trace.checksum).toBe(checksumOf("key [MASKED]\n"));
  });

  it("CP A52: gives a started value in full when the job ends", async () => {
    await using trace = await openJobTrace({ directory, maskedValues: ["s3cretvalue"] });
    trace.openStream(STDOUT).write("s3cret");
    expect(trace.size).toBe(0);
    await trace.close();
    expect(await readAll(trace)).toBe("s3cret");
  });

  it("JE 30, JE 31, JE 32: lets every write meet all filters in their order", async () => {
    await using trace = await openJobTrace({ directory, maskedValues: ["s3cr3tvalue"] });
    const stream = trace.openStream(STDOUT);
    for (const write of ["s3cr3", "tvalue\nhttps://h/?a=1&private_", "token=zzz&b=2\nglp", "at-abcDEF_123 end\n"]) {
      stream.write(write);
    }
    await trace.close();
    expect(await readAll(trace)).toBe("[MASKED]\nhttps://h/?a=1&private_token=[MASKED]&b=2\nglpat-[MASKED] end\n");
  });

  it("lets what one filter held back meet the filters behind it", async () => {
    await using trace = await openJobTrace({ directory, maskedValues: ["tokenvalue"], timestamps: true, now: () => 0 });
    trace.openStream(STDOUT).write("?rss_token=token");
    await trace.close();
    expect(await readAll(trace)).toBe("1970-01-01T00:00:00.000000Z 01O ?rss_token=[MASKED]\n");
  });

  it("JE 33: keeps the output up to the limit, then a notice, then nothing, and no writer sees an error", async () => {
    await using trace = await openJobTrace({ directory, limitBytes: 1024 });
    const runner = trace.openStream({ source: "runner", channel: "stdout" });
    runner.write("Running\n");
    const job = trace.openStream(STDOUT);
    for (let written = 0; written < 10_240; written += 64) await write(job, "x".repeat(64));
    await write(runner, "Job succeeded\n");
    await trace.close();
    const notice =
      "\n\u001B[33;1mJob's log exceeded limit of 1024 bytes.\nJob execution will continue but no more output will be collected.\u001B[0;m\n";
    const expected = `Running\n${"x".repeat(1024 - 8)}${notice}`;
    expect(await readAll(trace)).toBe(expected);
    expect({ size: trace.size, checksum: trace.checksum }).toEqual({
      size: 1024 + notice.length,
      checksum: checksumOf(expected),
    });
  });

  it("has a limit of 4 MiB unless told otherwise", async () => {
    await using trace = await openJobTrace({ directory });
    trace.openStream(STDOUT).write(Buffer.alloc(5 * 1024 * 1024, "x"));
    await trace.close();
    const end = Buffer.from(await trace.read(4_194_300, 100)).toString();
    expect(end.startsWith("xxxx\n\u001B[33;1mJob's log exceeded limit of 4194304 bytes.")).toBe(true);
  });

  it("finds a value per stream, whatever other streams write in between", async () => {
    await using trace = await openJobTrace({ directory, maskedValues: ["s3cretvalue"] });
    const stdout = trace.openStream(STDOUT);
    const stderr = trace.openStream(STDERR);
    stdout.write("s3cret");
    stderr.write("warning\n");
    stdout.write("value\n");
    await trace.close();
    expect(await readAll(trace)).toBe("warning\n[MASKED]\n");
  });

  it("masks values that are added while the job runs", async () => {
    await using trace = await openJobTrace({ directory, maskedValues: ["first-secret"] });
    const stream = trace.openStream(STDOUT);
    stream.write("second-value first-secret\n");
    trace.addMaskedValues(["second-value"]);
    stream.write("second-value first-secret\n");
    trace.openStream(STDERR).write("second-value\n");
    await trace.close();
    expect(await readAll(trace)).toBe("second-value [MASKED]\n[MASKED] [MASKED]\n[MASKED]\n");
  });

  it("marks each stream in front of its lines", async () => {
    await using trace = await openJobTrace({ directory, timestamps: true, now: () => 1000.5 });
    trace.openStream({ source: "runner", channel: "stdout" }).write("a\n");
    trace.openStream(STDERR).write("b\n");
    trace.openStream({ source: "service", channel: "stdout" }).write("c\n");
    await trace.close();
    expect(await readAll(trace)).toBe(
      "1970-01-01T00:00:01.000500Z 00O a\n1970-01-01T00:00:01.000500Z 01E b\n1970-01-01T00:00:01.000500Z 0fO c\n",
    );
  });

  it("reads at any offset, before and after the close, again and again", async () => {
    await using trace = await openJobTrace({ directory });
    const whole = Buffer.from(Array.from({ length: 50_000 }, (_, index) => `line ${index}\n`).join(""));
    const stream = trace.openStream(STDOUT);
    await write(stream, whole);
    for (let round = 0; round < 2; round += 1) {
      for (const offset of [0, 1, 65_535, 65_536, 65_537, whole.length - 1, whole.length, whole.length + 10, 0]) {
        const bytes = Buffer.from(await trace.read(offset, 70_000));
        expect(bytes.equals(whole.subarray(offset, offset + 70_000))).toBe(true);
      }
      await trace.close();
    }
  });

  it("keeps every byte of any writes to several streams, with the checksum of just these bytes", async () => {
    const writes = fc.array(fc.tuple(fc.nat(2), fc.string({ unit: "binary", maxLength: 300 })), { maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(writes, async (plan) => {
        await using trace = await openJobTrace({ directory });
        const streams = [trace.openStream(STDOUT), trace.openStream(STDERR), trace.openStream(STDOUT)];
        for (const [index, text] of plan) streams[index]?.write(text);
        await trace.close();
        const expected = plan.map(([, text]) => text).join("");
        expect(await readAll(trace)).toBe(expected);
        expect(trace.checksum).toBe(checksumOf(expected));
      }),
      { numRuns: 300 },
    );
  });

  it("takes a large write in pieces, between which the event loop turns", async () => {
    await using trace = await openJobTrace({ directory, limitBytes: 1e9 });
    let turns = 0;
    const count = setInterval(() => (turns += 1), 0);
    await write(trace.openStream(STDOUT), Buffer.alloc(16 * 1024 * 1024, "some text\n"));
    clearInterval(count);
    expect(trace.size).toBe(16 * 1024 * 1024);
    expect(turns).toBeGreaterThan(0);
  });

  it("holds a writer up until its bytes are on the disk, but for a small buffer", async () => {
    await using trace = await openJobTrace({ directory, limitBytes: 1e9 });
    const stream = trace.openStream(STDOUT);
    const chunk = Buffer.alloc(64 * 1024, "x");
    for (let written = 0; written < 8 * 1024 * 1024; written += chunk.length) {
      if (!stream.write(chunk)) await once(stream, "drain");
      const [name = ""] = await readdir(directory);
      const { size } = await stat(join(directory, name));
      expect(trace.size - size).toBeLessThanOrEqual(5 * 64 * 1024);
    }
  });

  it("takes 20,000 writes of one character", async () => {
    await using trace = await openJobTrace({ directory });
    const stream = trace.openStream(STDOUT);
    for (let index = 0; index < 20_000; index += 1) stream.write("x");
    await trace.close();
    expect(await readAll(trace)).toBe("x".repeat(20_000));
  });

  it("drops what comes after the close without an error that anybody must handle", async () => {
    await using trace = await openJobTrace({ directory });
    const stream = trace.openStream(STDOUT);
    stream.write("before\n");
    await trace.close();
    await expect(write(stream, "after\n")).rejects.toMatchObject({ code: "ERR_STREAM_WRITE_AFTER_END" });
    expect(await readAll(trace)).toBe("before\n");
  });

  it("waits for the same end when it is closed twice, and opens no stream afterwards", async () => {
    await using trace = await openJobTrace({ directory });
    trace.openStream(STDOUT).write("x");
    await Promise.all([trace.close(), trace.close()]);
    expect(() => trace.openStream(STDOUT)).toThrow(expect.objectContaining({ code: "trace-closed" }));
  });

  it("works as the end of a pipeline", async () => {
    await using trace = await openJobTrace({ directory });
    await pipeline(["one\n", "two\n"], trace.openStream(STDOUT));
    expect(await readAll(trace)).toBe("one\ntwo\n");
  });

  it("keeps its file to the owner and removes it at the end", async () => {
    const trace = await openJobTrace({ directory });
    const [name = ""] = await readdir(directory);
    expect((await stat(join(directory, name))).mode & 0o777).toBe(0o600);
    trace.openStream(STDOUT).write("not closed");
    await Promise.all([trace[Symbol.asyncDispose](), trace[Symbol.asyncDispose]()]);
    expect(await readdir(directory)).toEqual([]);
    await expect(trace.read(0, 1)).rejects.toMatchObject({ code: "trace-disposed" });
  });

  it("says which file it could not open", async () => {
    const missing = join(directory, "missing");
    const error: unknown = await openJobTrace({ directory: missing }).catch((caught: unknown) => caught);
    expect(JobTraceError.isInstance(error)).toBe(true);
    expect(error).toMatchObject({ code: "open-failed", message: expect.stringContaining(missing) });
  });

  it.each([
    { options: { limitBytes: -1 }, name: "limitBytes" },
    { options: { limitBytes: 1.5 }, name: "limitBytes" },
  ])("refuses a limit of $options.limitBytes", async ({ options, name }) => {
    await expect(openJobTrace({ directory, ...options })).rejects.toThrow(name);
  });

  it.each([
    { offset: -1, maxBytes: 1 },
    { offset: 0, maxBytes: 0 },
    { offset: 0.5, maxBytes: 1 },
  ])("refuses to read $maxBytes bytes at $offset", async ({ offset, maxBytes }) => {
    await using trace = await openJobTrace({ directory });
    await expect(trace.read(offset, maxBytes)).rejects.toThrow(RangeError);
  });

  it("ends with what reached the disk when the file can grow no further, and says so on close", async () => {
    // A limit of the shell on the size of files makes real writes fail, as a full disk does.
    const program = `
      import { openJobTrace } from ${JSON.stringify(new URL("./index.ts", import.meta.url).href)};
      const trace = await openJobTrace({ directory: ${JSON.stringify(directory)} });
      const stream = trace.openStream({ source: "job", channel: "stdout" });
      for (let index = 0; index < 30; index += 1) {
        await new Promise((resolve, reject) => stream.write("x".repeat(10_000), (error) => error ? reject(error) : resolve()));
      }
      const error = await trace.close().catch((caught) => caught);
      const bytes = await trace.read(0, 1_000_000);
      const { size, checksum } = trace;
      await trace[Symbol.asyncDispose]();
      console.log(JSON.stringify({ code: error.code, cause: error.cause.code, size, checksum, read: bytes.length }));
    `;
    const { stdout } = await promisify(execFile)(
      "sh",
      [
        "-c",
        'ulimit -f 256; exec "$0" --conditions=@fleetfoot/source --input-type=module --eval "$1"',
        process.execPath,
        program,
      ],
      { env: {} },
    );
    const kept = 128 * 1024;
    expect(JSON.parse(stdout)).toEqual({
      code: "write-failed",
      cause: "EFBIG",
      size: kept,
      checksum: checksumOf("x".repeat(kept)),
      read: kept,
    });
    expect(await readdir(directory)).toEqual([]);
  });
});

async function readAll(trace: JobTrace): Promise<string> {
  return Buffer.from(await trace.read(0, Math.max(trace.size, 1))).toString();
}

function write(stream: NodeJS.WritableStream, bytes: Buffer | string): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.write(bytes, (error) => (error ? reject(error) : resolve()));
  });
}

function checksumOf(text: string): string {
  return `crc32:${crc32(text).toString(16).padStart(8, "0")}`;
}
