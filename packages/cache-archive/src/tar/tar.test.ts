import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { lstat, mkdir, open, readFile, readlink, rm, stat, symlink, utimes, writeFile } from "node:fs/promises";
import path from "node:path";
import { constants, zstdCompressSync } from "node:zlib";

import { requireProgram } from "@fleetfoot-tooling/systems";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { createArchive } from "../create.ts";
import { extractArchive } from "../extract.ts";
import { selectFiles } from "../select/select.ts";
import { sniffFormat } from "../sniff.ts";
import { failure } from "../test-support/failure.ts";
import { makeScratch } from "../test-support/scratch.ts";
import type { Scratch } from "../test-support/scratch.ts";
import type { ExtractArchiveOptions } from "../types.ts";
import { encodeHeader, padding } from "./header.ts";
import type { TarHeader } from "./header.ts";

let scratch: Scratch;
let root: string;
let archivePath: string;

beforeEach(async () => {
  scratch = await makeScratch();
  root = scratch.at("project");
  archivePath = scratch.at("cache.zip");
  await mkdir(root);
});

afterEach(async () => {
  await scratch[Symbol.asyncDispose]();
});

describe("tarzstd", () => {
  it("CA C11: keeps the name cache.zip and begins with the Zstandard magic number", async () => {
    await writeFile(path.join(root, "f"), "x");
    await create();
    expect((await readFile(archivePath)).toString("hex", 0, 4)).toBe("28b52ffd");
    expect(await sniffFormat(archivePath)).toBe("tarzstd");
    // The frame has a content checksum.
    expect((await readFile(archivePath)).readUInt8(4) & 0x04).toBe(0x04);
  });

  it("CA C8: a time of 05.75 s is 05 in a zip and 06 in a tarzstd", async () => {
    await writeFile(path.join(root, "f"), "x");
    await utimes(path.join(root, "f"), 1_704_164_645.75, 1_704_164_645.75);
    for (const [format, seconds] of [
      ["zip", 5],
      ["tarzstd", 6],
    ] as const) {
      await create({ format });
      await extractArchive({ archivePath, root: scratch.at(format) });
      expect((await stat(scratch.at(format, "f"))).mtimeMs).toBe(1_704_164_640_000 + seconds * 1000);
    }
  });

  it("is read by tar: names, modes, times, links and long content", async () => {
    const long = "long-name-".repeat(15);
    await mkdir(path.join(root, `d/${long}/${long}`), { recursive: true });
    await writeFile(path.join(root, `d/${long}/${long}/file`), "0123456789".repeat(300_000));
    await writeFile(path.join(root, "ünïcode"), "x");
    await writeFile(path.join(root, "empty"), "");
    await symlink("x".repeat(150), path.join(root, "link"));
    await utimes(path.join(root, "empty"), 1_500_000_000, 1_500_000_000);
    await create();
    await mkdir(scratch.at("out"));
    const { path: zstd } = await requireProgram("zstd", "the archives that it has to read");
    execFileSync("tar", ["--warning=no-timestamp", "-xf", "-", "-C", scratch.at("out")], {
      input: execFileSync(zstd, ["-dc", archivePath], { maxBuffer: 2 ** 28 }),
    });
    expect(await readFile(scratch.at("out/d", long, long, "file"), "utf8")).toBe("0123456789".repeat(300_000));
    expect(await readFile(scratch.at("out/ünïcode"), "utf8")).toBe("x");
    expect(await readlink(scratch.at("out/link"))).toBe("x".repeat(150));
    expect((await stat(scratch.at("out/empty"))).mtimeMs).toBe(1_500_000_000_000);
  });

  it.each(["gnu", "pax", "ustar", "v7"])("restores what tar writes in its %s format", async (format) => {
    await mkdir(path.join(root, "d/empty"), { recursive: true });
    await writeFile(path.join(root, "d/file"), "content", { mode: 0o640 });
    await symlink("file", path.join(root, "d/link"));
    const name = format === "v7" ? "short" : "n".repeat(99);
    await writeFile(path.join(root, "d", name), "long name");
    if (format === "gnu" || format === "pax") {
      await writeFile(path.join(root, "d", "ü".repeat(100)), "longer name");
      await symlink("t".repeat(200), path.join(root, "d/long-link"));
    }
    const tar = execFileSync("tar", [`--format=${format}`, "-cf", "-", "-C", root, "."], { maxBuffer: 2 ** 26 });
    await writeFile(archivePath, zstdCompressSync(tar));
    await extractArchive({ archivePath, root: scratch.at("out") });
    const paths = async (directory: string): Promise<string[]> =>
      (await selectFiles({ root: directory, paths: ["."] })).entries.map((entry) => entry.path);
    expect(await paths(scratch.at("out"))).toEqual(await paths(root));
    expect((await stat(scratch.at("out/d/file"))).mode & 0o777).toBe(0o640);
    expect(await readFile(scratch.at("out/d", name), "utf8")).toBe("long name");
  });

  it("CA H5: removes what is in the place first, and never writes through a link", async () => {
    await writeFile(scratch.at("outside"), "mine");
    await symlink("../outside", path.join(root, "f"));
    await symlink("old", path.join(root, "l"));
    await writeFile(path.join(root, "r"), "old", { mode: 0o444 });
    await extract([
      file("f", "new"),
      { ...file("l", ""), type: "symlink", linkTarget: Buffer.from("new") },
      file("r", "new"),
    ]);
    expect(await readFile(scratch.at("outside"), "utf8")).toBe("mine");
    expect((await lstat(path.join(root, "f"))).isFile()).toBe(true);
    expect(await readlink(path.join(root, "l"))).toBe("new");
    expect(await readFile(path.join(root, "r"), "utf8")).toBe("new");
  });

  it.each<[what: string, entries: () => Part[], code: string]>([
    ["a name that leads out", () => [file("../evil", "x")], "outside-root"],
    ["one name twice", () => [file("a", "x"), file("./a", "x")], "duplicate-name"],
    ["too much content", () => [file("a", "x".repeat(2000))], "too-large"],
  ])("refuses %s", async (_what, entries, code) => {
    const error = await failure(extract(entries(), { maxBytes: 1000 }));
    expect(error.code).toBe(code);
    await expect(stat(scratch.at("evil"))).rejects.toMatchObject({ code: "ENOENT" });
  });

  it("refuses to write below a link that leads outside", async () => {
    await mkdir(scratch.at("outside"));
    await symlink("../outside", path.join(root, "esc"));
    const error = await failure(extract([file("esc/f", "x")]));
    expect(error).toMatchObject({ code: "outside-root", entryName: "esc" });
  });

  it("writes links after files, so that no file goes through one", async () => {
    await mkdir(scratch.at("outside"));
    const link: Part = { ...file("s", ""), type: "symlink", linkTarget: Buffer.from(scratch.at("outside")) };
    expect((await failure(extract([link, file("s/x", "evil")]))).entryName).toBe("s");
    await expect(stat(scratch.at("outside/x"))).rejects.toMatchObject({ code: "ENOENT" });
  });

  it("finds an archive that was cut off anywhere", async () => {
    await writeFile(path.join(root, "a"), "a".repeat(3000));
    await writeFile(path.join(root, "b"), "b".repeat(3000));
    await create();
    const whole = await readFile(archivePath);
    const indexStart = whole.length - 16 - whole.readUInt32LE(whole.length - 16) - 8;
    for (let length = 4; length < whole.length; length += 1) {
      await writeFile(archivePath, whole.subarray(0, length));
      // All frames are there, and the tar archive's own end: only the index is missing.
      if (length === indexStart) {
        expect((await extractArchive({ archivePath, root: scratch.at("out") })).entries).toBe(2);
        continue;
      }
      const error = await failure(extractArchive({ archivePath, root: scratch.at("out") }));
      expect([length, error.code]).toEqual([length, "truncated"]);
    }
  });

  it("finds a flipped byte by the frame's checksum", async () => {
    const noise = createHash("shake256", { outputLength: 4000 }).update("noise").digest();
    await writeFile(path.join(root, "a"), noise);
    await create();
    const whole = await readFile(archivePath);
    const at = whole.indexOf(noise.subarray(2000, 2100));
    expect(at).toBeGreaterThan(0);
    whole[at] = (whole[at] ?? 0) ^ 1;
    await writeFile(archivePath, whole);
    expect((await failure(extractArchive({ archivePath, root: scratch.at("out") }))).code).toBe("malformed");
  });

  it.each([
    { what: "short", bytes: 4000 },
    { what: "long", bytes: 400_000 },
  ])(
    "takes a flipped byte in a $what file of another program's archive for damage, and not for a fault of the disk",
    async ({ bytes }) => {
      const noise = createHash("shake256", { outputLength: bytes }).update("noise").digest();
      const first = { ...file("first", ""), content: createHash("shake256", { outputLength: 300_000 }).digest() };
      const whole = zstdCompressSync(tarOf([first, { ...file("f", ""), content: noise }]), {
        params: { [constants.ZSTD_c_checksumFlag]: 1 },
      });
      const at = whole.indexOf(noise.subarray(2000, 2100));
      expect(at).toBeGreaterThan(0);
      whole[at] = (whole[at] ?? 0) ^ 1;
      await writeFile(archivePath, whole);
      const error = await failure(extractArchive({ archivePath, root: scratch.at("out") }));
      expect(error).toMatchObject({ code: "malformed", retryable: false });
    },
  );

  it.each([{ version: "0.0" }, { version: "0.1" }, { version: "1.0" }])(
    "refuses a sparse file of GNU tar in version $version instead of restoring what is between its holes",
    async ({ version }) => {
      const sparse = await open(path.join(root, "sparse"), "w");
      await sparse.truncate(1_000_000);
      await sparse.write("in the middle", 500_000);
      await sparse.close();
      // Not every file system tells where holes are.
      const options = ["--format=posix", "--sparse", `--sparse-version=${version}`, "--hole-detection=raw"];
      const packed = execFileSync("tar", ["-C", root, ...options, "-cf", "-", "sparse"]);
      await writeFile(archivePath, zstdCompressSync(packed));
      const error = await failure(extractArchive({ archivePath, root: scratch.at("out") }));
      expect([error.code, error.message]).toEqual(["unsupported-format", expect.stringContaining("sparse file")]);
    },
  );

  it.each<[what: string, change: (tar: Buffer) => void, code: string]>([
    ["a wrong header sum", (tar) => tar.writeUInt8(0x41, 0), "checksum"],
    ["a hard link", (tar) => setType(tar, "1"), "unsupported-format"],
    ["a sparse file of GNU tar", (tar) => setType(tar, "S"), "malformed"],
    ["a size that is no number", (tar) => setText(tar, 124, "12345678901x"), "malformed"],
  ])("refuses %s", async (_what, change, code) => {
    const tar = tarOf([file("f", "x")]);
    change(tar);
    await writeFile(archivePath, zstdCompressSync(tar));
    expect((await failure(extractArchive({ archivePath, root }))).code).toBe(code);
  });

  it("refuses zeros without end after the archive's own end", async () => {
    await writeFile(archivePath, zstdCompressSync(Buffer.concat([tarOf([]), Buffer.alloc(2 ** 25)])));
    expect((await failure(extractArchive({ archivePath, root }))).code).toBe("too-large");
  });

  // A frame of a window of 1 KiB, and a block of no bytes. The last one is missing where nothing else is said.
  const frame = Buffer.from("28b52ffd0000", "hex");
  const empty = Buffer.alloc(3);
  it.each<[what: string, archive: () => Buffer, looks: number]>([
    ["blocks without content", () => Buffer.concat([frame, Buffer.alloc(60_000, empty)]), 10],
    ["frames for somebody else", () => Buffer.concat([frame, Buffer.of(1, 0, 0), Buffer.alloc(800, skippable)]), 50],
    // Once they were counted, a thousand at a time.
    ["blocks to unpack", () => Buffer.concat([frame, Buffer.alloc(3_000_000, empty), Buffer.of(1, 0, 0)]), 1014],
  ])("can be given up while it consists of %s", async (_what, archive, looks) => {
    await writeFile(archivePath, archive());
    const controller = new AbortController();
    const reason = new Error("no longer wanted");
    const check = controller.signal.throwIfAborted.bind(controller.signal);
    let looked = 0;
    controller.signal.throwIfAborted = () => {
      looked += 1;
      if (looked === looks) controller.abort(reason);
      check();
    };
    // At its end it would be found to be cut off.
    await expect(extractArchive({ archivePath, root, signal: controller.signal })).rejects.toBe(reason);
  });

  it("reads windows larger than the decoder's own default", async () => {
    const content = Buffer.alloc(2 ** 20, "0123456789abcdef");
    const packed = zstdCompressSync(tarOf([{ ...file("f", ""), content }]), {
      params: { [constants.ZSTD_c_windowLog]: 27, [constants.ZSTD_c_enableLongDistanceMatching]: 1 },
    });
    await writeFile(archivePath, packed);
    await extractArchive({ archivePath, root });
    expect((await readFile(path.join(root, "f"))).equals(content)).toBe(true);
    await rm(path.join(root, "f"));
  });
});

const skippable = Buffer.from("502a4d1800000000", "hex");

type Part = Omit<TarHeader, "bytes"> & { readonly content: Buffer };

function file(name: string, content: string): Part {
  const facts = { type: "file", mode: 0o644, uid: 0, gid: 0, mtime: 1_500_000_000 } as const;
  return { ...facts, name: Buffer.from(name), linkTarget: Buffer.alloc(0), content: Buffer.from(content) };
}

function tarOf(parts: readonly Part[]): Buffer {
  return Buffer.concat([
    ...parts.flatMap((part) => [
      encodeHeader({ ...part, bytes: part.content.length }),
      part.content,
      padding(part.content.length),
    ]),
    Buffer.alloc(1024),
  ]);
}

function setType(tar: Buffer, type: string): void {
  setText(tar, 156, type);
}

function setText(tar: Buffer, at: number, text: string): void {
  tar.write(text, at, "latin1");
  tar.fill(" ", 148, 156);
  const sum = tar.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  tar.write(sum.toString(8).padStart(6, "0"), 148);
}

async function create(options: { readonly format?: "zip" | "tarzstd" } = {}): Promise<void> {
  const { entries } = await selectFiles({ root, paths: ["*"] });
  await createArchive({ root, entries, archivePath, format: options.format ?? "tarzstd" });
}

async function extract(parts: readonly Part[], options: Partial<ExtractArchiveOptions> = {}): Promise<void> {
  await writeFile(archivePath, zstdCompressSync(tarOf(parts)));
  await extractArchive({ archivePath, root, ...options });
}
