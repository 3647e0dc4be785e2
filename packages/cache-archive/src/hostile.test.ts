import { lstat, mkdir, readFile, readdir, readlink, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import { crc32, zstdCompressSync } from "node:zlib";

import { describe, expect, it } from "vitest";

import { CacheArchiveError } from "./errors.ts";
import { extractArchive } from "./extract.ts";
import { encodeHeader, padding } from "./tar/header.ts";
import type { TarHeader } from "./tar/header.ts";
import { forgeZip } from "./test-support/forged-zip.ts";
import type { ForgedEntry } from "./test-support/forged-zip.ts";
import { makeScratch } from "./test-support/scratch.ts";
import type { ExtractArchiveOptions } from "./types.ts";
import { endRecords } from "./zip/records.ts";

const LINK = 0o120777;
const DIRECTORY = 0o040755;
const EMPTY = Buffer.alloc(0);

interface Hostile {
  readonly what: string;
  readonly archive: () => Buffer;
  readonly code: string;
  /** Undefined where no entry is to blame. */
  readonly entry?: string;
  readonly options?: Partial<ExtractArchiveOptions>;
}

const zip = (
  what: string,
  code: string,
  entry: string | undefined,
  entries: readonly ForgedEntry[],
  options = {},
): Hostile => ({
  what,
  code,
  archive: () => forgeZip([{ name: "innocent", content: "x" }, ...entries]),
  options,
  ...(entry === undefined ? {} : { entry }),
});

const raw = (what: string, code: string, archive: () => Buffer, entry?: string): Hostile => ({
  what,
  code,
  archive,
  ...(entry === undefined ? {} : { entry }),
});

interface TarPart extends Partial<TarHeader> {
  readonly content?: string;
}

const tar = (
  what: string,
  code: string,
  entry: string | undefined,
  parts: readonly TarPart[],
  options = {},
): Hostile => ({
  what: `tar: ${what}`,
  code,
  archive: () => zstdCompressSync(forgeTar([{ name: Buffer.from("innocent"), content: "x" }, ...parts])),
  options,
  ...(entry === undefined ? {} : { entry }),
});

const changedTar = (what: string, code: string, change: (bytes: Buffer) => Buffer): Hostile => ({
  what: `tar: ${what}`,
  code,
  archive: () => zstdCompressSync(change(forgeTar([{ name: Buffer.from("f"), content: "x" }]))),
});

const n = (text: string): Buffer => Buffer.from(text);
const two = forgeZip([
  { name: "a", content: "aaaa" },
  { name: "b", content: "bbbb" },
]);
const zeros = Buffer.alloc(4 * 1024 * 1024);

const corpus: readonly Hostile[] = [
  // Names that lead out.
  zip("climbs out of the root", "outside-root", "../evil", [{ name: "../evil" }]),
  zip("climbs out below a folder", "outside-root", "a/../../evil", [{ name: "a/../../evil" }]),
  zip("climbs out by an absolute way", "outside-root", "/../evil", [{ name: "/../evil" }]),
  zip("climbs out many times", "outside-root", "../../../../../../evil", [{ name: "../../../../../../evil" }]),
  zip("climbs out and in again", "outside-root", "../project/evil", [{ name: "../project/evil" }]),
  zip("climbs out with dots between", "outside-root", "./.././evil", [{ name: "./.././evil" }]),
  zip("climbs out as a folder", "outside-root", "../evil/", [{ name: "../evil/", mode: DIRECTORY }]),
  zip("climbs out as a link", "outside-root", "../evil", [{ name: "../evil", mode: LINK, content: "x" }]),
  zip("climbs out after a long way", "outside-root", `${"d/".repeat(20)}${"../".repeat(21)}evil`, [
    { name: `${"d/".repeat(20)}${"../".repeat(21)}evil` },
  ]),
  zip("climbs out with bytes that are not UTF-8", "outside-root", "../\\xff", [
    { name: Buffer.from("../\xff", "latin1") },
  ]),
  zip("has no name", "malformed", "", [{ name: "" }]),
  zip("is the root as a file", "malformed", ".", [{ name: "." }]),
  zip("is the root as a link", "malformed", "a/..", [{ name: "a/..", mode: LINK, content: "/etc" }]),
  zip("has a zero byte in its name", "malformed", "a\\x00b", [{ name: "a\0b" }]),

  // Folders that would be taken for restores of ours.
  zip("plants an unfinished restore", "outside-root", ".fleetfoot-restore-0-host0-1-1-x/", [
    { name: ".fleetfoot-restore-0-host0-1-1-x/", mode: 0o040700 },
    { name: ".fleetfoot-restore-0-host0-1-1-x/complete.json", content: "[]" },
    { name: ".fleetfoot-restore-0-host0-1-1-x/tree", mode: LINK, content: "../../outside" },
  ]),
  zip("plants a file of an unfinished restore", "outside-root", ".fleetfoot-restore-0/complete.json", [
    { name: ".fleetfoot-restore-0/complete.json", content: "[]" },
  ]),
  zip("plants an unfinished restore by an absolute way", "outside-root", "/.fleetfoot-restore-0/f", [
    { name: "/.fleetfoot-restore-0/f" },
  ]),
  zip("plants an unfinished restore with dots between", "outside-root", "a/.././.fleetfoot-restore-0/f", [
    { name: "a/.././.fleetfoot-restore-0/f" },
  ]),
  zip("plants a link in the place of an unfinished restore", "outside-root", ".fleetfoot-restore-0", [
    { name: ".fleetfoot-restore-0", mode: LINK, content: "../outside" },
  ]),
  // Links.
  zip("lies below a link of the same archive", "outside-root", "s", [
    { name: "s", mode: LINK, content: "/etc" },
    { name: "s/x" },
  ]),
  zip("lies below a later link", "outside-root", "s", [
    { name: "s/x" },
    { name: "s", mode: LINK, content: "../outside" },
  ]),
  zip("lies below a chain of links", "outside-root", "a", [
    { name: "a", mode: LINK, content: "b" },
    { name: "b", mode: LINK, content: "../outside" },
    { name: "a/x" },
  ]),
  zip("is a folder below a link", "outside-root", "s", [
    { name: "s", mode: LINK, content: "../outside" },
    { name: "s/d/", mode: DIRECTORY },
  ]),
  zip("is a link below a link", "outside-root", "s", [
    { name: "s", mode: LINK, content: "../outside" },
    { name: "s/l", mode: LINK, content: "x" },
  ]),
  zip("goes through a link that lies in the root", "outside-root", "esc", [{ name: "esc/x" }]),
  zip("goes deep through a link that lies in the root", "outside-root", "esc", [{ name: "esc/a/b/c" }]),
  zip("changes the mode of a folder behind a link", "outside-root", "esc", [{ name: "esc/", mode: 0o040777 }]),
  zip("is a link without target", "malformed", "l", [{ name: "l", mode: LINK, content: "" }]),
  zip("is a link with an endless target", "malformed", "l", [{ name: "l", mode: LINK, content: "x".repeat(70_000) }]),
  zip("is a link with a zero byte in its target", "io", "l", [{ name: "l", mode: LINK, content: "a\0b" }]),

  // Places that two entries share.
  zip("comes twice", "duplicate-name", "f", [{ name: "f" }, { name: "f" }]),
  zip("comes twice, once absolute", "duplicate-name", "/f", [{ name: "f" }, { name: "/f" }]),
  zip("comes twice, once with dots", "duplicate-name", "d/../f", [{ name: "f" }, { name: "d/../f" }]),
  zip("comes twice, once with slashes", "duplicate-name", "d//f", [{ name: "d/f" }, { name: "d//f" }]),
  zip("is a file and a folder", "duplicate-name", "f/", [{ name: "f" }, { name: "f/", mode: DIRECTORY }]),
  zip("is a file and a link", "duplicate-name", "f", [{ name: "f" }, { name: "f", mode: LINK, content: "x" }]),
  zip("is the root twice", "duplicate-name", "/", [
    { name: "./", mode: DIRECTORY },
    { name: "/", mode: DIRECTORY },
  ]),
  zip("lies below a file", "malformed", "f", [{ name: "f" }, { name: "f/x" }]),
  zip("lies in the place of a folder with content", "io", "kept", [{ name: "kept", content: "x" }]),
  zip("lies below a file that is there", "io", "file", [{ name: "file/x" }]),

  // Sizes.
  zip("is above maxBytes", "too-large", "big", [{ name: "big", content: zeros }], { maxBytes: 1_000_000 }),
  zip(
    "is above maxBytes with the others",
    "too-large",
    "b",
    [
      { name: "a", content: "x".repeat(60) },
      { name: "b", content: "x".repeat(60) },
    ],
    {
      maxBytes: 100,
    },
  ),
  zip("is above maxRatio", "too-large", "bomb", [{ name: "bomb", content: zeros, method: 8 }], { maxRatio: 100 }),
  zip("says more than there could ever be", "too-large", "f", [{ name: "f", central: { bytes: 2 ** 45 } }]),
  zip("has more than it says", "size-mismatch", "f", [
    { name: "f", content: zeros, method: 8, central: { bytes: 10 }, local: { bytes: 10 } },
  ]),
  zip("has less than it says", "size-mismatch", "f", [
    { name: "f", content: "x", method: 8, central: { bytes: 10 }, local: { bytes: 10 } },
  ]),
  zip("has far more than it says in one long stream", "size-mismatch", "f", [
    { name: "f", content: zeros, method: 8, central: { bytes: 2 ** 21 }, local: { bytes: 2 ** 21 } },
  ]),
  zip("is stored with another length", "size-mismatch", "f", [
    { name: "f", content: "xx", central: { bytes: 1 }, local: { bytes: 1 } },
  ]),
  raw(
    "has entries that share their bytes",
    "malformed",
    () =>
      forgeZip([
        { name: "a", content: zeros, method: 8 },
        { name: "b", content: zeros, method: 8, central: { offset: 0 } },
      ]),
    "a",
  ),
  zip("lies inside another entry", "malformed", "innocent", [{ name: "f", content: "y", central: { offset: 5 } }]),
  zip("lies behind the end", "malformed", "f", [{ name: "f", content: "y", central: { offset: 100_000 } }]),

  // Damage.
  zip("has a wrong CRC", "checksum", "f", [{ name: "f", content: "x", central: { crc: 1 }, local: { crc: 1 } }]),
  zip("has a wrong CRC in a long file", "checksum", "f", [
    { name: "f", content: zeros, central: { crc: 1 }, local: { crc: 1 } },
  ]),
  zip("has a wrong CRC in a long packed file", "checksum", "f", [
    { name: "f", content: zeros, method: 8, central: { crc: 1 }, local: { crc: 1 } },
  ]),
  zip("has a wrong CRC in a link", "checksum", "l", [
    { name: "l", mode: LINK, content: "x", central: { crc: 1 }, local: { crc: 1 } },
  ]),
  zip("is not deflate", "malformed", "f", [
    { name: "f", content: "\xff\xff\xff\xff", central: { method: 8 }, local: { method: 8 } },
  ]),
  zip("is not Zstandard", "malformed", "f", [
    { name: "f", content: "nonsense", central: { method: 93 }, local: { method: 93 } },
  ]),
  zip("has another name in its local header", "header-mismatch", "f", [{ name: "f", local: { name: n("g") } }]),
  zip("has another method in its local header", "header-mismatch", "f", [
    { name: "f", content: "x", local: { method: 8 } },
  ]),
  zip("has another size in its local header", "header-mismatch", "f", [
    { name: "f", content: "x", local: { bytes: 2 } },
  ]),
  zip("has another CRC in its local header", "header-mismatch", "f", [{ name: "f", content: "x", local: { crc: 2 } }]),
  zip("has another packed size in its local header", "header-mismatch", "f", [
    { name: "f", content: "x", local: { compressedBytes: 2 } },
  ]),
  zip("has a damaged owner", "malformed", "f", [{ name: "f", extra: Buffer.from("757801000100", "hex") }]),
  zip("has an extra field without end", "malformed", "f", [{ name: "f", extra: Buffer.from("5554ff00", "hex") }]),
  zip("is encrypted", "encrypted", "f", [{ name: "f", content: "x", flags: 1 }]),
  zip("is packed by an unknown method", "unsupported-method", "f", [
    { name: "f", content: "x", central: { method: 14 }, local: { method: 14 } },
  ]),
  raw("is empty", "truncated", () => EMPTY),
  raw("is cut in its last record", "truncated", () => two.subarray(0, -3)),
  raw("is cut in its directory", "truncated", () => two.subarray(0, -60)),
  raw("is cut in its data", "truncated", () => two.subarray(0, 20)),
  raw("is no archive", "malformed", () => n("<html>not found</html>")),
  raw("is gzip", "unsupported-format", () => Buffer.from("1f8b0800000000000003030000000000", "hex")),
  raw("announces a huge count of entries", "malformed", () => endRecords(60_000, 0, 0)),
  raw("announces a huge directory", "malformed", () =>
    Buffer.concat([two.subarray(0, -22), endRecords(2, 2 ** 31, 10)]),
  ),
  raw("announces a directory before the file", "malformed", () =>
    Buffer.concat([two.subarray(0, -22), endRecords(2, 10, 2 ** 31)]),
  ),
  raw("announces millions of entries by zip64", "malformed", () => endRecords(2 ** 40, 0, 0)),
  raw("is one of several parts", "malformed", () => {
    const part = Buffer.from(two);
    part.writeUInt16LE(3, part.length - 18);
    return part;
  }),

  // Tar.
  tar("climbs out of the root", "outside-root", "../evil", [{ name: n("../evil") }]),
  tar("plants an unfinished restore", "outside-root", ".fleetfoot-restore-0/", [
    { name: n(".fleetfoot-restore-0/"), type: "directory", mode: 0o700 },
  ]),
  tar("plants a link of an unfinished restore", "outside-root", ".fleetfoot-restore-0/tree", [
    { name: n(".fleetfoot-restore-0/tree"), type: "symlink", linkTarget: n("../../outside") },
  ]),
  tar("comes twice", "duplicate-name", "f", [{ name: n("f") }, { name: n("f") }]),
  tar("goes through a link that lies in the root", "outside-root", "esc", [{ name: n("esc/x"), content: "x" }]),
  tar("lies below a link of the same archive", "outside-root", "s", [
    { name: n("s"), type: "symlink", linkTarget: n("../outside") },
    { name: n("s/x"), content: "x" },
  ]),
  tar("is above maxBytes", "too-large", "f", [{ name: n("f"), content: "x".repeat(2000) }], { maxBytes: 1000 }),
  tar("is above maxRatio", "too-large", "f", [{ name: n("f"), content: "x".repeat(200_000) }], { maxRatio: 10 }),
  {
    ...changedTar("has a FIFO above maxBytes", "too-large", () => fifoOf(2000)),
    entry: "f",
    options: { maxBytes: 1000 },
  },
  changedTar("has one extended header after the other", "malformed", (bytes) => extended(bytes, "x", 1000, 2048)),
  changedTar("has any number of global headers", "malformed", (bytes) => extended(bytes, "g", 1000, 2048)),
  changedTar("has any number of empty extended headers", "malformed", (bytes) => extended(bytes, "x", 0, 2049)),
  changedTar("has an extended header of less than nothing", "malformed", (bytes) => {
    const negative = retyped(Buffer.from(bytes.subarray(0, 512)), "x");
    // GNU's binary form of -1.
    negative.fill(0xff, 124, 136);
    return Buffer.concat([retyped(negative, "x"), bytes]);
  }),
  changedTar("has an endless name", "malformed", (bytes) => {
    return Buffer.concat([extended(EMPTY, "L", 100_000, 1), bytes]);
  }),
  changedTar("has a damaged header", "checksum", (bytes) => {
    bytes[0] = 0x67;
    return bytes;
  }),
  changedTar("ends in the middle of an entry", "truncated", (bytes) => bytes.subarray(0, 700)),
  changedTar("goes on for ever after its end", "too-large", (bytes) =>
    Buffer.concat([bytes, Buffer.alloc(20 * 1024 * 1024)]),
  ),
  { ...changedTar("is a hard link", "unsupported-format", (bytes) => retyped(bytes, "1")), entry: "f" },
  changedTar("is of an unknown type", "malformed", (bytes) => retyped(bytes, "Z")),
  {
    what: "tar: is cut in the middle of a frame",
    code: "truncated",
    archive: () => zstdCompressSync(forgeTar([{ name: n("f") }])).subarray(0, -2),
  },
  {
    what: "tar: has bytes after its frames",
    code: "malformed",
    archive: () => Buffer.concat([zstdCompressSync(forgeTar([])), n("what is this?")]),
  },
];

describe.each(["parallel", "streaming"] as const)("the %s engine and hostile archives", (engine) => {
  it.each(corpus)(
    "refuses one that $what, names it, and writes nothing, inside or outside",
    async ({ archive, code, entry, options }) => {
      await using scratch = await makeScratch();
      const root = scratch.at("project");
      await mkdir(path.join(root, "kept"), { recursive: true });
      await mkdir(scratch.at("outside"));
      await writeFile(path.join(root, "kept/mine"), "mine");
      await writeFile(path.join(root, "file"), "mine");
      await writeFile(scratch.at("outside/theirs"), "theirs");
      await symlink("../outside", path.join(root, "esc"));
      const archivePath = scratch.at("cache.zip");
      await writeFile(archivePath, archive());
      const before = await describeTree(scratch.path);

      const error = await extractArchive({ archivePath, root, engine, ...options }).then(
        () => new Error("it was restored"),
        (reason: unknown) => reason,
      );

      expect(error).toBeInstanceOf(CacheArchiveError);
      expect(error).toMatchObject({ code, entryName: entry });
      expect(await describeTree(scratch.path)).toEqual(before);
    },
  );

  it("brings no unfinished restore into the root through a link that leads to it", async () => {
    await using scratch = await makeScratch();
    const root = scratch.at("project");
    await mkdir(root);
    await symlink(".", path.join(root, "self"));
    const archivePath = scratch.at("cache.zip");
    const name = "self/.fleetfoot-restore-0";
    await writeFile(archivePath, forgeZip([{ name: `${name}/complete.json`, content: "[]" }]));
    const refused = { code: "outside-root", entryName: `${name}/complete.json` };
    await expect(extractArchive({ archivePath, root, engine })).rejects.toMatchObject(refused);
    expect(await readdir(root)).toEqual(["self"]);
  });

  it("leaves devices and FIFOs out, and restores the rest", async () => {
    await using scratch = await makeScratch();
    const archivePath = scratch.at("cache.zip");
    const odd = [0o020666, 0o060666, 0o010666, 0o140666].map((mode, nth) => ({ name: `odd-${nth}`, mode }));
    await writeFile(archivePath, forgeZip([...odd, { name: "f", content: "x" }]));
    await extractArchive({ archivePath, root: scratch.at("project"), engine });
    expect(await readdir(scratch.at("project"))).toEqual(["f"]);
  });

  it("hears of an abort while it passes over what is not restored", async () => {
    await using scratch = await makeScratch();
    const archivePath = scratch.at("cache");
    await writeFile(archivePath, zstdCompressSync(fifoOf(8 * 1024 * 1024)));
    const controller = new AbortController();
    const reason = new Error("no longer wanted");
    let looks = 0;
    // Long before all of the content was passed over, and long after the entry was begun.
    const check = controller.signal.throwIfAborted.bind(controller.signal);
    controller.signal.throwIfAborted = () => {
      looks += 1;
      if (looks === 20) controller.abort(reason);
      check();
    };
    const { signal } = controller;
    const options = { archivePath, root: scratch.at("project"), engine, maxRatio: 1e9, signal };
    await expect(extractArchive(options)).rejects.toBe(reason);
  });

  it("keeps names apart that differ in case, or by bytes that are not UTF-8", async () => {
    await using scratch = await makeScratch();
    const archivePath = scratch.at("cache.zip");
    const names = ["File", "file", "FILE", Buffer.from("f\xfe", "latin1"), Buffer.from("f\xff", "latin1"), "f\\x"];
    await writeFile(archivePath, forgeZip(names.map((name, nth) => ({ name, content: `${nth}` }))));
    await extractArchive({ archivePath, root: scratch.at("project"), engine });
    const found = await readdir(scratch.at("project"), { encoding: "buffer" });
    expect(new Set(found.map((name) => name.toString("latin1")))).toEqual(
      new Set(names.map((name) => Buffer.from(name).toString("latin1"))),
    );
  });
});

it("has at least sixty hostile archives", () => {
  expect(corpus.length).toBeGreaterThanOrEqual(60);
});

function forgeTar(parts: readonly TarPart[]): Buffer {
  const blocks = parts.flatMap(({ content = "", ...header }) => {
    const facts = { type: "file", mode: 0o644, uid: 0, gid: 0, mtime: 0, linkTarget: EMPTY, name: n("f") } as const;
    const bytes = n(content);
    return [encodeHeader({ ...facts, bytes: bytes.length, ...header }), bytes, padding(bytes.length)];
  });
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

/** A FIFO with content, which nobody should write but anybody can. */
function fifoOf(length: number): Buffer {
  return retyped(forgeTar([{ name: n("f"), content: "x".repeat(length) }]), "6");
}

/** So many extended headers that say nothing of use, before what is there. */
function extended(bytes: Buffer, flag: string, length: number, count: number): Buffer {
  const [start, end] = [`${length} comment=`, "\n"];
  const content = length === 0 ? "" : `${start}${"x".repeat(length - start.length - end.length)}${end}`;
  const entry = forgeTar([{ name: n("extended"), content }]).subarray(0, -1024);
  return Buffer.concat([...Array<Buffer>(count).fill(retyped(entry, flag)), bytes]);
}

function retyped(bytes: Buffer, flag: string): Buffer {
  bytes.write(flag, 156);
  bytes.fill(" ", 148, 156);
  const sum = bytes.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  bytes.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return bytes;
}

async function describeTree(place: string): Promise<unknown[]> {
  const found: unknown[] = [];
  for (const name of (await readdir(place, { recursive: true })).sort()) {
    const stats = await lstat(path.join(place, name));
    const facts = [name, stats.mode, stats.isFile() ? stats.mtimeMs : 0, stats.uid];
    if (stats.isSymbolicLink()) found.push([...facts, await readlink(path.join(place, name))]);
    else found.push(stats.isFile() ? [...facts, crc32(await readFile(path.join(place, name)))] : facts);
  }
  return found;
}
