import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32 } from "node:zlib";

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { openJobTrace, reopenJobTrace } from "./job-trace.ts";
import type { JobTrace } from "./types.ts";

const RUNNER = { source: "runner", channel: "stdout" } as const;

const WAITING = { timeout: 20_000 };

let directory: string;
let file: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "job-trace-"));
  file = join(directory, "trace.log");
});

afterEach(async () => {
  await rm(directory, { recursive: true });
});

describe("reopenJobTrace", () => {
  it("goes on where a process was killed, with all that had been written before", async () => {
    const program = `
      import { openJobTrace } from ${JSON.stringify(new URL("./index.ts", import.meta.url).href)};
      const trace = await openJobTrace({ file: ${JSON.stringify(file)}, maskedValues: ["s3cretvalue"] });
      const stream = trace.openStream({ source: "job", channel: "stdout" });
      for (let line = 0; line < 1000; line += 1) stream.write("line " + line + " s3cretvalue\\n");
      stream.write("the start of a s3cret");
      setInterval(() => undefined, 1000);
    `;
    const child = spawn(
      process.execPath,
      ["--conditions=@fleetfoot/source", "--input-type=module", "--eval", program],
      { env: {}, stdio: ["ignore", "inherit", "inherit"] },
    );
    await vi.waitFor(async () => expect(await readFile(file, "utf8")).toContain("the start of a "), WAITING);
    child.kill("SIGKILL");
    await once(child, "exit");

    const lines = Array.from({ length: 1000 }, (_, line) => `line ${line} [MASKED]\n`).join("");
    await using trace = await reopenJobTrace({ file });
    expect(await readAll(trace)).toBe(`${lines}the start of a `);
    trace.openStream(RUNNER).write("\nkilled\n");
    await trace.close();
    const whole = `${lines}the start of a \nkilled\n`;
    expect(await readAll(trace)).toBe(whole);
    expect(trace).toMatchObject({ size: whole.length, checksum: checksumOf(whole) });
  });

  it("leaves the file where it is when it is disposed, again and again", async () => {
    const opened = await openJobTrace({ file });
    opened.openStream(RUNNER).write("one\n");
    await opened[Symbol.asyncDispose]();
    for (const text of ["two\n", "three\n"]) {
      await using trace = await reopenJobTrace({ file });
      trace.openStream(RUNNER).write(text);
    }
    expect(await readFile(file, "utf8")).toBe("one\ntwo\nthree\n");
  });

  it.each([
    { cut: 1, row: "a character without its last byte" },
    { cut: 2, row: "a character with its first byte only" },
  ])("drops the start of a character at the end: $row", async ({ cut }) => {
    await writeFile(file, Buffer.from("price 5 €").subarray(0, -cut));
    await using trace = await reopenJobTrace({ file });
    expect(trace).toMatchObject({ size: 8, checksum: checksumOf("price 5 ") });
    trace.openStream(RUNNER).write("EUR");
    await trace.close();
    expect(await readAll(trace)).toBe("price 5 EUR");
  });

  it("goes on with an empty file, and with one that is larger than a single read", async () => {
    await writeFile(file, "");
    const empty = await reopenJobTrace({ file });
    expect(empty).toMatchObject({ size: 0, checksum: "crc32:00000000" });
    await empty[Symbol.asyncDispose]();
    const large = "x".repeat(2_500_000);
    await writeFile(file, large);
    await using trace = await reopenJobTrace({ file });
    expect(trace).toMatchObject({ size: large.length, checksum: checksumOf(large) });
  });

  it("counts what was written for the limit, and takes nothing where it was reached before", async () => {
    await writeFile(file, "x".repeat(90));
    const first = await reopenJobTrace({ file, limitBytes: 100 });
    first.openStream(RUNNER).write("y".repeat(50));
    await first[Symbol.asyncDispose]();
    const text = await readFile(file, "utf8");
    expect(text.slice(0, 101)).toBe(`${"x".repeat(90)}${"y".repeat(10)}\n`);
    expect(text).toContain("exceeded limit of 100 bytes");
    await using second = await reopenJobTrace({ file, limitBytes: 100 });
    second.openStream(RUNNER).write("z");
    await second.close();
    expect(await readAll(second)).toBe(text);
  });

  it("says which file is not there", async () => {
    await expect(reopenJobTrace({ file })).rejects.toMatchObject({
      code: "open-failed",
      message: expect.stringContaining(file),
    });
  });

  it("refuses to make a file that is there already", async () => {
    await writeFile(file, "of another job");
    await expect(openJobTrace({ file })).rejects.toMatchObject({ code: "open-failed" });
    expect(await readFile(file, "utf8")).toBe("of another job");
  });
});

async function readAll(trace: JobTrace): Promise<string> {
  return Buffer.from(await trace.read(0, Math.max(trace.size, 1))).toString();
}

function checksumOf(text: string): string {
  return `crc32:${crc32(text).toString(16).padStart(8, "0")}`;
}
