import { describe, expect, it } from "vitest";

import { BLOCK_BYTES } from "./header.ts";
import { PieceReader } from "./piece-reader.ts";
import { paddingBytes, readTarEntry, records } from "./read.ts";
import type { TarEntry } from "./read.ts";

const MEBIBYTE = 1024 * 1024;

/** A header that is right but for the fields that are given; the sum is of what there is. */
function block(fields: Readonly<Record<number, string | Buffer>>, flag = "0"): Buffer {
  const header = Buffer.alloc(BLOCK_BYTES);
  header.write("name", 0);
  header.write("0000644\0", 100);
  header.write("00000000017\0", 124);
  header.write("00000000001\0", 136);
  header.write(flag, 156, "latin1");
  header.write("ustar\x0000", 257, "latin1");
  for (const [at, value] of Object.entries(fields)) Buffer.from(value).copy(header, Number(at));
  header.write("        ", 148);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return header;
}

function octal(value: number): string {
  return `${value.toString(8).padStart(11, "0")}\0`;
}

/** A header with content behind it. */
function extended(flag: "x" | "g" | "L" | "K", content: Buffer | string): Buffer {
  const bytes = Buffer.from(content);
  return Buffer.concat([block({ 124: octal(bytes.length) }, flag), bytes, Buffer.alloc(paddingBytes(bytes.length))]);
}

function record(key: string, value: string): string {
  let length = key.length + Buffer.byteLength(value) + 3;
  while (`${length} ${key}=${value}\n`.length !== length) length += 1;
  return `${length} ${key}=${value}\n`;
}

function reader(...parts: readonly Buffer[]): PieceReader {
  return new PieceReader(
    (async function* () {
      yield* parts;
    })(),
    undefined,
  );
}

async function read(...parts: readonly Buffer[]): Promise<TarEntry | undefined> {
  return await readTarEntry(reader(...parts));
}

describe("readTarEntry", () => {
  it("reads the fields of a header", async () => {
    const numbers = { 108: "0000123\0", 116: "0000456\0", 136: octal(1_700_000_000) };
    expect(await read(block(numbers))).toEqual({
      name: "name",
      kind: "file",
      mode: 0o644,
      mtimeMs: 1_700_000_000_000,
      owner: { uid: 0o123, gid: 0o456 },
      bytes: 15,
      linkTarget: Buffer.alloc(0),
    });
  });

  it.each([
    ["0", "name", "file"],
    ["7", "name", "file"],
    ["\0", "name", "file"],
    ["0", "name/", "directory"],
    ["5", "name", "directory"],
    ["2", "name", "symlink"],
    ["3", "name", "other"],
    ["4", "name", "other"],
    ["6", "name", "other"],
  ])("takes the type %j of %s for a %s", async (flag, name, kind) => {
    expect(await read(block({ 0: name, 157: "target" }, flag))).toMatchObject({
      kind,
      linkTarget: Buffer.from(kind === "symlink" ? "target" : ""),
    });
  });

  it.each([
    ["1", "unsupported-format"],
    ["S", "malformed"],
  ])("refuses the type %j", async (flag, code) => {
    await expect(read(block({}, flag))).rejects.toMatchObject({ code });
  });

  it("puts a prefix before the name where there is one, in USTAR headers only", async () => {
    expect((await read(block({ 345: "prefix" })))?.name).toBe("prefix/name");
    expect((await read(block({ 257: "ustar  \0", 345: "prefix" })))?.name).toBe("name");
    expect((await read(block({ 0: "n".repeat(100), 345: "" })))?.name).toBe("n".repeat(100));
  });

  it("takes what extended headers say for the next entry, and nothing else", async () => {
    const given = ["path", "linkpath", "size", "mtime", "uid", "gid"].map((key, nth) => record(key, String(nth + 10)));
    const parts = [extended("x", given.join("") + record("comment", "x")), block({}, "2")];
    expect(await read(...parts)).toEqual({
      name: "10",
      kind: "symlink",
      mode: 0o644,
      mtimeMs: 13_000,
      owner: { uid: 14, gid: 15 },
      bytes: 12,
      linkTarget: Buffer.from("11"),
    });
    const next = reader(...parts, block({}));
    await readTarEntry(next);
    expect(await readTarEntry(next)).toMatchObject({ name: "name", bytes: 15 });
  });

  it("takes long names of GNU tar up to their end, and passes over what is for all entries", async () => {
    const parts = [extended("g", record("path", "global")), extended("L", "long\0x"), extended("K", "target\0x")];
    expect(await read(...parts, block({}, "2"))).toMatchObject({ name: "long", linkTarget: Buffer.from("target") });
  });

  it("ends at a block of zeros, but not behind an extended header", async () => {
    expect(await read(Buffer.alloc(BLOCK_BYTES))).toBeUndefined();
    const ended = read(extended("x", record("path", "a")), Buffer.alloc(BLOCK_BYTES));
    await expect(ended).rejects.toMatchObject({ code: "malformed" });
  });

  it("refuses a header whose sum is another one", async () => {
    const damaged = block({});
    damaged.write("m", 0);
    await expect(read(damaged)).rejects.toMatchObject({ code: "checksum" });
  });

  it("takes extended headers of a mebibyte, and no more, however many there are", async () => {
    const most = MEBIBYTE - BLOCK_BYTES;
    expect(await read(extended("g", Buffer.alloc(most)), block({}))).toMatchObject({ name: "name" });
    await expect(read(extended("g", Buffer.alloc(most + 1)), block({}))).rejects.toMatchObject({ code: "malformed" });
    const empty = Array.from({ length: MEBIBYTE / BLOCK_BYTES }, () => extended("g", ""));
    expect(await read(...empty, block({}))).toMatchObject({ name: "name" });
    await expect(read(...empty, extended("g", ""), block({}))).rejects.toMatchObject({ code: "malformed" });
  });

  it("refuses an extended header of less than no bytes", async () => {
    const negative = Buffer.alloc(12, 0xff);
    await expect(read(block({ 124: negative }, "x"), block({}))).rejects.toMatchObject({ code: "malformed" });
  });

  it("takes values of 64 KiB, and no longer ones", async () => {
    const most = "n".repeat(64 * 1024);
    expect((await read(extended("L", most), block({})))?.name).toBe(most);
    await expect(read(extended("L", `${most}n`), block({}))).rejects.toMatchObject({ code: "malformed" });
    // What is not used may be longer.
    expect(await read(extended("x", record("comment", `${most}n`)), block({}))).toMatchObject({ name: "name" });
  });

  it("takes a length of no bytes", async () => {
    expect(await read(block({ 124: octal(0) }))).toMatchObject({ bytes: 0 });
  });

  it.each(["-1", "1.5", String(2 ** 53)])("refuses a length of %s bytes", async (size) => {
    const parts = [extended("x", record("size", size)), block({})];
    await expect(read(...parts)).rejects.toMatchObject({ code: "malformed", message: expect.stringContaining(size) });
  });

  it.each(["1e5", "0x10", "", "1.", "+1", " 1"])("refuses %j as a number of an extended header", async (text) => {
    await expect(read(extended("x", record("mtime", text)), block({}))).rejects.toMatchObject({ code: "malformed" });
  });

  it("takes fractions and negative numbers for times", async () => {
    expect((await read(extended("x", record("mtime", "-1.5")), block({})))?.mtimeMs).toBe(-1500);
    const binary = Buffer.concat([Buffer.alloc(4, 0xff), Buffer.alloc(7, 0xff), Buffer.from([0xfe])]);
    expect((await read(block({ 136: binary })))?.mtimeMs).toBe(-2000);
  });

  it("takes blanks and zeros around octal digits, nothing for 0, and refuses other digits", async () => {
    expect(await read(block({ 100: "  644 \0\0" }))).toMatchObject({ mode: 0o644 });
    expect(await read(block({ 100: Buffer.alloc(8) }))).toMatchObject({ mode: 0 });
    await expect(read(block({ 100: "0000648\0" }))).rejects.toMatchObject({ code: "malformed" });
  });

  it("takes numbers in GNU's binary form", async () => {
    const binary = Buffer.alloc(12);
    binary.writeBigUInt64BE(2n ** 40n, 4);
    binary.writeUInt8(0x80, 0);
    expect((await read(block({ 124: binary })))?.bytes).toBe(2 ** 40);
  });
});

describe("records", () => {
  it.each(["x", "5", "0 a=b\n", "-6 a=b\n", "x a=b\n", "7 a=b\n", "6 abc\n", "5 abc=d\n", "6 a b\n7 c=d\n\n"])(
    "that are damaged, as %j, are refused",
    (text) => {
      expect(() => [...records(Buffer.from(text))]).toThrow("damaged");
    },
  );

  it("are keys and values, which may hold anything", () => {
    const all = [...records(Buffer.from("6 a=b\n8 c==\n\n\n4 =\n"))];
    expect(all.map(([key, value]) => [key, value.toString()])).toEqual([
      ["a", "b"],
      ["c", "=\n\n"],
      ["", ""],
    ]);
  });
});

it("content is padded to whole blocks", () => {
  expect([0, 1, 511, 512, 513].map(paddingBytes)).toEqual([0, 511, 1, 0, 511]);
});
