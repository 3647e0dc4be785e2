import { execFileSync } from "node:child_process";
import { closeSync, existsSync, fstatSync, openSync, readdirSync, statSync } from "node:fs";
import {
  chmod,
  chown,
  lstat,
  lutimes,
  mkdir,
  open,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import path from "node:path";
import { zstdCompressSync } from "node:zlib";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { createArchive } from "./create.ts";
import { CacheArchiveError } from "./errors.ts";
import { extractArchive } from "./extract.ts";
import { selectFiles } from "./select/select.ts";
import { forgeZip } from "./test-support/forged-zip.ts";
import type { ForgedEntry } from "./test-support/forged-zip.ts";
import { failure } from "./test-support/failure.ts";
import { makeScratch } from "./test-support/scratch.ts";
import type { Scratch } from "./test-support/scratch.ts";
import type { ArchiveSummary, ExtractArchiveOptions } from "./types.ts";

const DIRECTORY = 0o040755;
const LINK = 0o120777;

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

describe("extractArchive keeps everything inside the root", () => {
  it.each(["../evil", "a/../../evil", "/../evil", "a/../../project2/evil"])(
    "CA F4: %s is an error, and nothing is written, inside or outside",
    async (name) => {
      const error = await refusal([
        { name: "first", content: "x" },
        { name, content: "x" },
      ]);
      expect(error).toMatchObject({ code: "outside-root", entryName: name });
      expect(await tree(scratch.path)).toEqual(["cache.zip", "project"]);
    },
  );

  it("CA F5: an absolute name lands below the root", async () => {
    await extractForged([{ name: "/abs/f", content: "x" }]);
    expect(await readFile(path.join(root, "abs/f"), "utf8")).toBe("x");
  });

  it("CA F6: a link entry and a file below it write nothing outside", async () => {
    await mkdir(scratch.at("outside"));
    const error = await refusal([
      { name: "s", mode: LINK, content: scratch.at("outside") },
      { name: "s/x", content: "evil" },
    ]);
    expect(error.entryName).toBe("s");
    expect(await tree(scratch.at("outside"))).toEqual([]);
    expect(await tree(root)).toEqual([]);
  });

  it.each<[what: string, entry: ForgedEntry]>([
    ["a file", { name: "esc/f", content: "evil" }],
    ["a folder", { name: "esc/f/", mode: DIRECTORY }],
    ["the folder itself", { name: "esc/", mode: 0o040700 }],
    ["a link", { name: "esc/f", mode: LINK, content: "x" }],
    ["a file further below", { name: "esc/a/b/f", content: "evil" }],
  ])("CA F7, CA H4: %s through a link in the project that leads outside is refused", async (_what, entry) => {
    await mkdir(scratch.at("outside"));
    await chmod(scratch.at("outside"), 0o755);
    await symlink("../outside", path.join(root, "esc"));
    const error = await refusal([entry]);
    expect(error).toMatchObject({ code: "outside-root", entryName: "esc" });
    expect(error.message).toContain('"esc" is a link that leads outside');
    expect(await tree(scratch.at("outside"))).toEqual([]);
    expect((await stat(scratch.at("outside"))).mode & 0o777).toBe(0o755);
  });

  it("CA H4: follows a link in the project whose target stays inside", async () => {
    await mkdir(path.join(root, "real/deep"), { recursive: true });
    await symlink("real", path.join(root, "way"));
    await symlink(path.join(root, "way/deep"), path.join(root, "further"));
    await extractForged([
      { name: "way/f", content: "1" },
      { name: "further/g", content: "2" },
    ]);
    expect(await tree(path.join(root, "real"))).toEqual(["deep", "deep/g", "f"]);
  });

  it("refuses to pass through a link that leads nowhere or in a circle", async () => {
    await symlink("../nowhere", path.join(root, "gone"));
    await symlink("loop", path.join(root, "loop"));
    expect((await refusal([{ name: "gone/f" }])).code).toBe("outside-root");
    expect((await refusal([{ name: "loop/f" }])).code).toBe("outside-root");
    expect(await tree(scratch.path)).toEqual(["cache.zip", "project", "project/gone", "project/loop"]);
  });

  it("does not fall for a neighbour whose name begins like the root's", async () => {
    await mkdir(scratch.at("project-2"));
    await symlink("../project-2", path.join(root, "esc"));
    expect((await refusal([{ name: "esc/f" }])).code).toBe("outside-root");
  });

  it("is not led astray by a folder that a link of the same archive replaces", async () => {
    await mkdir(scratch.at("outside"));
    const error = await refusal([
      { name: "a/b", mode: LINK, content: "x" },
      { name: "a", mode: LINK, content: scratch.at("outside") },
      { name: "a/c", mode: LINK, content: "evil" },
    ]);
    expect(error.entryName).toBe("a");
    expect(await tree(scratch.at("outside"))).toEqual([]);
  });

  it("restores into a root that is a link itself", async () => {
    await symlink("project", scratch.at("alias"));
    await extractForged([{ name: "d/f", content: "x" }], { root: scratch.at("alias") });
    expect(await readFile(path.join(root, "d/f"), "utf8")).toBe("x");
  });

  it.each<[what: string, names: readonly ForgedEntry[]]>([
    ["the same name", [{ name: "a" }, { name: "a" }]],
    ["names that clean to the same place", [{ name: "a/b" }, { name: "/a/./b" }]],
    ["a file and a folder", [{ name: "a" }, { name: "a/", mode: DIRECTORY }]],
  ])("refuses two entries with %s before anything is written", async (_what, entries) => {
    expect((await refusal(entries)).code).toBe("duplicate-name");
    expect(await tree(root)).toEqual([]);
  });

  it.each(["", ".", "//.", "a/.."])("refuses a file whose name %j is that of the root", async (name) => {
    expect((await refusal([{ name }])).code).toBe("malformed");
  });

  it("refuses a name with a zero byte", async () => {
    expect((await refusal([{ name: "a\0b" }])).code).toBe("malformed");
  });

  it("treats a backslash as an ordinary character", async () => {
    await extractForged([{ name: "..\\a\\b", content: "x" }]);
    expect(await tree(root)).toEqual(["..\\a\\b"]);
  });
});

describe("extractArchive and what is already there", () => {
  it("CA F8: a file over a folder with content is an error that keeps the content", async () => {
    await mkdir(path.join(root, "f"));
    await writeFile(path.join(root, "f/mine"), "mine");
    const error = await refusal([{ name: "f", content: "x" }]);
    expect(error).toMatchObject({ code: "io", entryName: "f" });
    expect(error.message).toContain("ENOTEMPTY");
    expect(await readFile(path.join(root, "f/mine"), "utf8")).toBe("mine");
  });

  it("CA F9: a file over a link replaces the link, and its target stays", async () => {
    await writeFile(scratch.at("target"), "mine");
    await symlink("../target", path.join(root, "f"));
    await extractForged([{ name: "f", content: "x" }]);
    expect((await lstat(path.join(root, "f"))).isFile()).toBe(true);
    expect(await readFile(scratch.at("target"), "utf8")).toBe("mine");
  });

  it("replaces read-only files, links and empty folders, and does not write into a hard link", async () => {
    await writeFile(path.join(root, "readonly"), "old", { mode: 0o444 });
    await writeFile(scratch.at("shared"), "shared");
    execFileSync("ln", [scratch.at("shared"), path.join(root, "hard")]);
    await mkdir(path.join(root, "empty"));
    await symlink("old", path.join(root, "link"));
    await extractForged([
      { name: "readonly", content: "new" },
      { name: "hard", content: "new" },
      { name: "empty", content: "new" },
      { name: "link", mode: LINK, content: "new" },
    ]);
    for (const name of ["readonly", "hard", "empty"]) {
      expect(await readFile(path.join(root, name), "utf8")).toBe("new");
    }
    expect(await readlink(path.join(root, "link"))).toBe("new");
    expect(await readFile(scratch.at("shared"), "utf8")).toBe("shared");
  });

  it("adds to a folder that is there, and keeps what else is in it", async () => {
    await mkdir(path.join(root, "d"));
    await writeFile(path.join(root, "d/mine"), "mine");
    await extractForged([{ name: "d/", mode: 0o040700 }, { name: "d/f" }]);
    expect(await tree(root)).toEqual(["d", "d/f", "d/mine"]);
    expect((await stat(path.join(root, "d"))).mode & 0o777).toBe(0o700);
  });

  it("takes a file in a folder's place for that folder, and changes its mode only", async () => {
    await writeFile(path.join(root, "d"), "mine");
    await extractForged([{ name: "d/", mode: 0o040750 }]);
    expect(await readFile(path.join(root, "d"), "utf8")).toBe("mine");
    expect((await stat(path.join(root, "d"))).mode & 0o777).toBe(0o750);
  });

  it("fails for a file below a file", async () => {
    await writeFile(path.join(root, "d"), "mine");
    expect(await refusal([{ name: "d/f" }])).toMatchObject({ code: "io", entryName: "d" });
  });
});

describe("extractArchive and metadata", () => {
  it("CA F10: setuid, setgid and sticky bits are dropped", async () => {
    await extractForged([
      { name: "f", mode: 0o104755 },
      { name: "g", mode: 0o107777 },
    ]);
    expect((await stat(path.join(root, "f"))).mode & 0o7777).toBe(0o755);
    expect((await stat(path.join(root, "g"))).mode & 0o7777).toBe(0o777);
  });

  it("CA H12: special bits are dropped unless the option asks for them", async () => {
    const entries: ForgedEntry[] = [
      { name: "d/", mode: 0o041777 },
      { name: "d/f", mode: 0o106755, extra: Buffer.from("75780b000104e803000004e8030000", "hex") },
    ];
    const modes = async (): Promise<number[]> =>
      await Promise.all(["d", "d/f"].map(async (name) => (await stat(path.join(root, name))).mode & 0o7777));
    await extractForged(entries);
    expect(await modes()).toEqual([0o777, 0o755]);
    await extractForged(entries, { restoreSpecialBits: true });
    expect(await modes()).toEqual([0o1777, 0o6755]);
  });

  it("CA F11: a read-only folder with a file inside comes back for an ordinary user, mode and time kept", async () => {
    await chmod(scratch.path, 0o777);
    await chmod(root, 0o777);
    await mkdir(scratch.at("source/d/inner"), { recursive: true });
    await writeFile(scratch.at("source/d/inner/f"), "x");
    for (const name of ["d/inner", "d"]) {
      await utimes(scratch.at("source", name), 1_500_000_000, 1_500_000_000);
      await chmod(scratch.at("source", name), 0o555);
    }
    const { entries } = await selectFiles({ root: scratch.at("source"), paths: ["d"] });
    await createArchive({ root: scratch.at("source"), entries, archivePath });
    await chmod(archivePath, 0o644);
    await extractAsOrdinaryUser();
    for (const name of ["d", "d/inner"]) {
      const { mode, mtimeMs } = await stat(path.join(root, name));
      expect([name, mode & 0o7777, mtimeMs]).toEqual([name, 0o555, 1_500_000_000_000]);
    }
    expect(await readFile(path.join(root, "d/inner/f"), "utf8")).toBe("x");
    for (const name of ["d", "d/inner"]) {
      await chmod(path.join(root, name), 0o755);
      await chmod(scratch.at("source", name), 0o755);
    }
  });

  it.each([
    { what: "all of them are the user's own", foreign: false },
    { what: "another one belongs to somebody else, so that nothing changes", foreign: true },
  ])("replaces files in folders that nobody may write to, where $what", async ({ foreign }) => {
    await chmod(scratch.path, 0o777);
    await chmod(root, 0o777);
    const files = ["modules/a/f", "modules/a/g", "modules/b/f"];
    const entries = ["modules/", "modules/a/", "modules/b/"].map((name): ForgedEntry => ({ name, mode: 0o040555 }));
    await writeFile(
      archivePath,
      forgeZip([...entries, ...files.map((name) => ({ name, content: "new", mode: 0o100444 }))]),
    );
    const folders = ["modules/a", "modules/b", "modules"];
    for (const name of folders) await mkdir(path.join(root, name), { recursive: true });
    for (const name of files) await writeFile(path.join(root, name), "old");
    const isRoot = process.geteuid?.() === 0;
    for (const name of folders) {
      if (isRoot) await chown(path.join(root, name), foreign && name === "modules/b" ? 0 : 65_534, 65_534);
      await chmod(path.join(root, name), 0o555);
    }
    // Nobody but the superuser can give a folder away.
    const isRefused = foreign && isRoot;
    if (isRefused) await expect(extractAsOrdinaryUser()).rejects.toMatchObject({ code: "io" });
    else await extractAsOrdinaryUser();
    for (const name of files) expect(await readFile(path.join(root, name), "utf8")).toBe(isRefused ? "old" : "new");
    for (const name of folders) expect([name, (await stat(path.join(root, name))).mode & 0o777]).toEqual([name, 0o555]);
    expect(await readdir(scratch.path)).not.toContain(expect.stringContaining("restore"));
    for (const name of folders.toReversed()) await chmod(path.join(root, name), 0o755);
  });

  it("restores an inner folder before its parent forbids to enter it", async () => {
    await chmod(scratch.path, 0o777);
    await chmod(root, 0o777);
    await writeFile(
      archivePath,
      forgeZip([
        { name: "d/", mode: 0o040600 },
        { name: "d/inner/", mode: 0o040511 },
      ]),
    );
    await chmod(archivePath, 0o644);
    await extractAsOrdinaryUser();
    expect((await stat(path.join(root, "d"))).mode & 0o777).toBe(0o600);
    await chmod(path.join(root, "d"), 0o700);
    expect((await stat(path.join(root, "d/inner"))).mode & 0o777).toBe(0o511);
  });

  it("applies the root's own entry to the root", async () => {
    await extractForged([{ name: "./", mode: 0o040710 }]);
    expect((await stat(root)).mode & 0o777).toBe(0o710);
  });

  it("takes the mode whatever the umask is", async () => {
    const before = process.umask(0o077);
    try {
      await extractForged([{ name: "f", mode: 0o100666 }]);
    } finally {
      process.umask(before);
    }
    expect((await stat(path.join(root, "f"))).mode & 0o777).toBe(0o666);
  });

  it("reads modes and folders of archives that were not made on Unix", async () => {
    const archive = forgeZip([
      { name: "d/", mode: 0 },
      { name: "d/f", mode: 0, content: "x" },
      { name: "d/r", mode: 0 },
    ]);
    let at = archive.indexOf(Buffer.from("504b0102", "hex"));
    for (const attributes of [0x10, 0x20, 0x01]) {
      archive.writeUInt16LE(0x0014, at + 4);
      archive.writeUInt32LE(attributes, at + 38);
      at += 46 + archive.readUInt16LE(at + 28);
    }
    await writeFile(archivePath, archive);
    await extractArchive({ archivePath, root });
    const modes = await Promise.all(
      ["d", "d/f", "d/r"].map(async (name) => (await stat(path.join(root, name))).mode & 0o777),
    );
    expect(modes).toEqual([0o777, 0o666, 0o444]);
  });

  it("falls back to the DOS time, which is local", async () => {
    await extractForged([{ name: "f" }]);
    expect((await stat(path.join(root, "f"))).mtimeMs).toBe(new Date(2024, 0, 2, 3, 4, 4).getTime());
  });

  it("leaves out devices and FIFOs", async () => {
    await extractForged([{ name: "fifo", mode: 0o010644 }, { name: "device", mode: 0o020644 }, { name: "f" }]);
    expect(await tree(root)).toEqual(["f"]);
  });

  it("keeps link targets as they are, absolute and upward ones too, with the link's own time", async () => {
    await extractForged([
      { name: "a", mode: LINK, content: "/etc/hostname" },
      { name: "b", mode: LINK, content: "../../x", extra: timeExtra(1_500_000_000) },
      { name: "c", mode: LINK, content: Buffer.of(0x61, 0xff) },
    ]);
    expect(await readlink(path.join(root, "a"))).toBe("/etc/hostname");
    expect(await readlink(path.join(root, "b"))).toBe("../../x");
    expect((await lstat(path.join(root, "b"))).mtimeMs).toBe(1_500_000_000_000);
    expect(await readlink(path.join(root, "c"), { encoding: "buffer" })).toEqual(Buffer.of(0x61, 0xff));
  });

  it("refuses an owner field that is damaged", async () => {
    const error = await refusal([{ name: "f", extra: Buffer.from("7578030001ff00", "hex") }]);
    expect(error).toMatchObject({ code: "malformed", entryName: "f" });
  });
});

describe("extractArchive and damaged or forged archives", () => {
  it("CA F12: gzip is an error, whatever the file's name is", async () => {
    await writeFile(archivePath, Buffer.from("1f8b0800000000000003030000000000", "hex"));
    const error = await failure(extractArchive({ archivePath, root }));
    expect(error.code).toBe("unsupported-format");
    expect(error.message).toContain("gzip");
  });

  it.each<[what: string, bytes: Buffer, code: string]>([
    ["an empty file", Buffer.alloc(0), "truncated"],
    ["three bytes", Buffer.from("PK\u0003"), "truncated"],
    ["text", Buffer.from("<html>not found</html>"), "malformed"],
  ])("says what is wrong with %s", async (_what, bytes, code) => {
    await writeFile(archivePath, bytes);
    const error = await failure(extractArchive({ archivePath, root }));
    expect(error.code).toBe(code);
    expect(error.message).toContain(archivePath);
  });

  it("refuses every archive that was cut off, and writes nothing", async () => {
    const whole = forgeZip([
      { name: "a", content: "aaaa" },
      { name: "b", content: "bbbb" },
    ]);
    for (let length = 0; length < whole.length; length += 1) {
      await writeFile(archivePath, whole.subarray(0, length));
      const error = await failure(extractArchive({ archivePath, root }));
      expect(["truncated", "malformed"]).toContain(error.code);
    }
    expect(await tree(root)).toEqual([]);
  });

  it("never restores other content than was packed, whichever byte is flipped", async () => {
    const whole = forgeZip([{ name: "a", content: "content ".repeat(20), method: 8 }]);
    for (let at = 0; at < whole.length; at += 1) {
      const damaged = Buffer.from(whole);
      damaged[at] = (damaged[at] ?? 0) ^ 0x10;
      await writeFile(archivePath, damaged);
      await rm(root, { recursive: true, force: true });
      await extractArchive({ archivePath, root }).catch((error: unknown) => {
        if (!CacheArchiveError.isInstance(error)) throw error;
      });
      for (const name of await tree(root)) {
        const place = path.join(root, name);
        if ((await lstat(place)).isFile()) expect(await readFile(place, "utf8")).toBe("content ".repeat(20));
      }
    }
  });

  it.each<[what: string, entry: ForgedEntry, code: string]>([
    ["a wrong CRC", { name: "f", content: "x", central: { crc: 1 }, local: { crc: 1 } }, "checksum"],
    [
      "a wrong CRC of a long file",
      { name: "f", content: Buffer.alloc(2 ** 21), central: { crc: 1 }, local: { crc: 1 } },
      "checksum",
    ],
    [
      "more bytes than declared",
      { name: "f", content: "abcdef", method: 8, flags: 8, central: { bytes: 5 } },
      "size-mismatch",
    ],
    [
      "fewer bytes than declared",
      { name: "f", content: "abcdef", method: 8, flags: 8, central: { bytes: 7 } },
      "size-mismatch",
    ],
    [
      "a long file with more bytes than declared",
      { name: "f", content: Buffer.alloc(2 ** 21), method: 8, flags: 8, central: { bytes: 2 ** 21 - 1 } },
      "size-mismatch",
    ],
    ["another name in the local header", { name: "f", local: { name: Buffer.from("g") } }, "header-mismatch"],
    ["another method in the local header", { name: "f", content: "x", local: { method: 8 } }, "header-mismatch"],
    ["another size in the local header", { name: "f", content: "x", local: { bytes: 2 } }, "header-mismatch"],
    [
      "no local header in its place",
      { name: "f", content: "xxxx", central: { offset: 1 }, flags: 8 },
      "header-mismatch",
    ],
    ["an unknown method", { name: "f", method: 14 }, "unsupported-method"],
    ["a password", { name: "f", flags: 1 }, "encrypted"],
    [
      "data that is not deflate",
      { name: "f", content: "xxxxxxxxxxxx", central: { method: 8 }, local: { method: 8 } },
      "malformed",
    ],
    [
      "data that is not zstd",
      { name: "f", content: "xxxxxxxxxxxx", central: { method: 93 }, local: { method: 93 } },
      "malformed",
    ],
    ["a link without a target", { name: "f", mode: LINK }, "malformed"],
  ])("refuses %s, and names the entry", async (_what, entry, code) => {
    const error = await refusal([entry]);
    expect([error.code, error.entryName]).toEqual([code, "f"]);
    expect(error.message).toContain('"f"');
    expect(error.advice).not.toBe("");
    expect(await tree(root)).toEqual([]);
  });

  it("refuses entries that share their bytes", async () => {
    const content = "x".repeat(1000);
    const error = await refusal([
      { name: "a", content },
      { name: "b", content, central: { offset: 0 } },
    ]);
    expect(error.code).toBe("malformed");
    expect(error.message).toContain("overlaps");
  });

  it("stops before the first byte when the files are above maxBytes or maxRatio", async () => {
    const entries: ForgedEntry[] = [
      { name: "a", content: Buffer.alloc(60_000), method: 8 },
      { name: "b", content: Buffer.alloc(60_000), method: 8 },
    ];
    const bytes = await refusal(entries, { maxBytes: 100_000 });
    expect(bytes).toMatchObject({ code: "too-large", entryName: "b" });
    expect(bytes.message).toContain("maxBytes 100000");
    const ratio = await refusal(entries, { maxRatio: 10 });
    expect(ratio.message).toContain("maxRatio 10");
    expect(await tree(root)).toEqual([]);
    await extractForged(entries, { maxBytes: 120_000, maxRatio: 1000 });
  });

  it("reads an end record with a comment that looks like another", async () => {
    const archive = forgeZip([{ name: "f", content: "x" }]);
    const comment = Buffer.concat([Buffer.from("504b0506", "hex"), Buffer.alloc(30)]);
    archive.writeUInt16LE(comment.length, archive.length - 2);
    await writeFile(archivePath, Buffer.concat([archive, comment]));
    await extractArchive({ archivePath, root });
    expect(await tree(root)).toEqual(["f"]);
  });

  it("keeps the file that was there when the new one is damaged", async () => {
    await writeFile(path.join(root, "f"), "mine");
    await refusal([{ name: "f", content: "x", central: { crc: 1 }, local: { crc: 1 } }]);
    expect(await readFile(path.join(root, "f"), "utf8")).toBe("mine");
  });

  it("reads zstd entries of other writers", async () => {
    const content = Buffer.from("text ".repeat(1000));
    const packed = zstdCompressSync(content);
    const honest = forgeZip([{ name: "f", content }]);
    const facts = { method: 93, bytes: content.length, crc: honest.readUInt32LE(14) };
    await extractForged([{ name: "f", content: packed, central: facts, local: facts }]);
    expect(await readFile(path.join(root, "f"))).toEqual(content);
  });

  it("rejects with the signal's reason, also in the middle", async () => {
    const reason = new Error("canceled");
    await writeFile(archivePath, forgeZip([{ name: "f" }]));
    await expect(extractArchive({ archivePath, root, signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(await tree(root)).toEqual([]);
  });

  it("checks the concurrency", async () => {
    expect((await failure(extractArchive({ archivePath, root, concurrency: 0 }))).code).toBe("invalid-option");
  });

  it("names a file that is not there", async () => {
    const error = await failure(extractArchive({ archivePath: scratch.at("nothing.zip"), root }));
    expect(error.code).toBe("io");
    expect(error.message).toContain("nothing.zip");
  });
});

describe("Info-ZIP", () => {
  it("unpacks what we pack: content, modes, times, owners and links", async () => {
    await makeTree(root);
    const { entries } = await selectFiles({ root, paths: ["**"] });
    for (const concurrency of [1, 4]) {
      await createArchive({ root, entries, archivePath, concurrency });
      const target = scratch.at(`unzipped-${concurrency}`);
      expect(tool("unzip", ["-tq", archivePath])).toContain("No errors detected");
      tool("unzip", ["-q", archivePath, "-d", target]);
      expect(await describeTree(target)).toEqual(await describeTree(root));
    }
  });

  it("packs what we unpack", async () => {
    await makeTree(root);
    tool("zip", ["-q", "-r", "-y", archivePath, "."], root);
    await extractArchive({ archivePath, root: scratch.at("out") });
    expect(await describeTree(scratch.at("out"))).toEqual(await describeTree(root));
  });

  it("packs from a pipe what we unpack", async () => {
    await writeFile(path.join(root, "f"), "text ".repeat(10_000));
    tool("sh", ["-c", `cd "$1" && zip -q - f | cat > "$2"`, "sh", root, archivePath]);
    await extractArchive({ archivePath, root: scratch.at("out") });
    expect(await readFile(scratch.at("out/f"), "utf8")).toBe("text ".repeat(10_000));
  });
});

async function extractForged(
  entries: readonly ForgedEntry[],
  options: Partial<ExtractArchiveOptions> = {},
): Promise<ArchiveSummary> {
  await writeFile(archivePath, forgeZip(entries));
  return await extractArchive({ archivePath, root, ...options });
}

async function refusal(
  entries: readonly ForgedEntry[],
  options: Partial<ExtractArchiveOptions> = {},
): Promise<CacheArchiveError> {
  return await failure(extractForged(entries, options));
}

/** Names of everything below a directory, links not followed; empty when it is not there. */
async function tree(directory: string): Promise<string[]> {
  const found = await readdir(directory, { recursive: true }).catch(() => []);
  return found.sort((a, b) => (a < b ? -1 : 1));
}

function timeExtra(seconds: number): Buffer {
  const extra = Buffer.from("5554050001", "hex");
  const time = Buffer.alloc(4);
  time.writeUInt32LE(seconds);
  return Buffer.concat([extra, time]);
}

describe("an abort in the middle of a restore", () => {
  it.each([["zip"], ["tarzstd"]] as const)(
    "of a %s leaves the root as it was, and later nothing beside it",
    async (format) => {
      await mkdir(scratch.at("many"));
      for (let nth = 0; nth < 3000; nth += 1) await writeFile(scratch.at("many", `f${nth}`), `${nth}`);
      const { entries } = await selectFiles({ root: scratch.at("many"), paths: ["*"] });
      await createArchive({ root: scratch.at("many"), entries, archivePath, format });
      const controller = new AbortController();
      const reason = new Error("canceled");
      const staged = async (): Promise<string[]> =>
        (await readdir(scratch.path)).filter((name) => name.startsWith(".fleetfoot-restore-"));
      const timer = setInterval(() => {
        const folder = readdirSync(scratch.path).find((name) => name.startsWith(".fleetfoot-restore-"));
        if (folder === undefined || !existsSync(scratch.at(folder, "tree"))) return;
        if (readdirSync(scratch.at(folder, "tree")).length === 0) return;
        clearInterval(timer);
        controller.abort(reason);
      }, 1);
      try {
        // On this thread, in turns: between the first files and the last ones the timer surely has its own.
        const restored = extractArchive({ archivePath, root, signal: controller.signal, maxInlineMs: 60_000 });
        await expect(restored).rejects.toBe(reason);
      } finally {
        clearInterval(timer);
      }
      expect(await tree(root)).toEqual([]);
      await expect.poll(staged).toEqual([]);
    },
  );
});

describe("an abort in the middle of one long entry", () => {
  it.each([
    ["zip", "streaming"],
    ["zip", "parallel"],
    ["tarzstd", "streaming"],
  ] as const)("of a %s stops the %s engine there", async (format, engine) => {
    const bytes = 256 * 1024 * 1024;
    const content = await open(scratch.at("long"), "w");
    await content.truncate(bytes);
    await content.close();
    const { entries } = await selectFiles({ root: scratch.path, paths: ["long"] });
    await createArchive({ root: scratch.path, entries, archivePath, format, concurrency: 1 });
    const controller = new AbortController();
    const reason = new Error("canceled");
    let staged: number | undefined;
    const timer = setInterval(() => {
      const folder = readdirSync(scratch.path).find((name) => name.startsWith(".fleetfoot-restore-"));
      const place = scratch.at(folder ?? "", "tree/long");
      if (folder === undefined || !existsSync(place) || statSync(place).size === 0) return;
      clearInterval(timer);
      staged = openSync(place, "r");
      controller.abort(reason);
    }, 1);
    try {
      const restored = extractArchive({ archivePath, root, engine, signal: controller.signal, maxInlineMs: 60_000 });
      await expect(restored).rejects.toBe(reason);
      // Of the file, which may have been removed by now.
      expect(fstatSync(staged ?? -1).size).toBeLessThan(bytes);
    } finally {
      clearInterval(timer);
      if (staged !== undefined) closeSync(staged);
    }
  });
});

describe("after the move into the root has begun", () => {
  it.each([[60_000], [0]])("an abort is not heeded any more (%i ms on the calling thread)", async (maxInlineMs) => {
    const folders = Array.from({ length: 600 }, (_, nth) => `d${nth}`);
    for (const name of folders) {
      await mkdir(scratch.at("many", name), { recursive: true });
      await utimes(scratch.at("many", name), 1000, 1000);
    }
    const { entries } = await selectFiles({ root: scratch.at("many"), paths: ["*"] });
    await createArchive({ root: scratch.at("many"), entries, archivePath });
    const controller = new AbortController();
    const { signal } = controller;
    const check = signal.throwIfAborted.bind(signal);
    // The first look at the signal after the move, and the first moment after it that this thread sees.
    const abortWhenMoved = (): void => {
      if (existsSync(path.join(root, "d0"))) controller.abort(new Error("too late"));
    };
    signal.throwIfAborted = () => {
      abortWhenMoved();
      check();
    };
    const timer = setInterval(abortWhenMoved, 1);
    try {
      const manifestPath = scratch.at("cache.tree");
      const summary = await extractArchive({ archivePath, root, signal, maxInlineMs, manifestPath });
      expect(summary).toEqual({ entries: 600, bytes: (await stat(archivePath)).size, wasInPlace: false });
      expect(existsSync(manifestPath)).toBe(true);
    } finally {
      clearInterval(timer);
    }
    for (const name of folders) expect((await stat(path.join(root, name))).mtimeMs).toBe(1_000_000);
  });

  it("a folder of somebody else keeps its times and its mode, and the restore is complete", async () => {
    await mkdir(scratch.at("new/shared"), { recursive: true });
    await writeFile(scratch.at("new/shared/file"), "new");
    await utimes(scratch.at("new/shared"), 1000, 1000);
    const { entries } = await selectFiles({ root: scratch.at("new"), paths: ["shared"] });
    await createArchive({ root: scratch.at("new"), entries, archivePath });
    await chmod(archivePath, 0o644);
    await chmod(scratch.path, 0o755);
    await mkdir(path.join(root, "shared"), { recursive: true });
    await writeFile(path.join(root, "shared/file"), "old");
    // Who is not root owns the folder, and may do everything with it.
    const isRoot = process.geteuid?.() === 0;
    if (isRoot) await chown(root, 65_534, 65_534);
    await chmod(path.join(root, "shared"), 0o777);
    await extractAsOrdinaryUser();
    expect(await readFile(path.join(root, "shared/file"), "utf8")).toBe("new");
    const { mode, mtimeMs } = await stat(path.join(root, "shared"));
    expect(mode & 0o777).toBe(isRoot ? 0o777 : 0o755);
    expect(mtimeMs === 1_000_000).toBe(!isRoot);
  });
});

/** Root may do everything; without its rights the kernel judges as for anybody else. */
async function extractAsOrdinaryUser(): Promise<void> {
  const isRoot = process.geteuid?.() === 0;
  if (isRoot) process.seteuid?.(65_534);
  try {
    await extractArchive({ archivePath, root });
  } finally {
    if (isRoot) process.seteuid?.(0);
  }
}

async function makeTree(directory: string): Promise<void> {
  await mkdir(path.join(directory, "d/empty"), { recursive: true });
  await writeFile(path.join(directory, "d/text"), "text ".repeat(1000));
  await writeFile(path.join(directory, "d/nothing"), "");
  await writeFile(path.join(directory, "d/ü~ \\*"), "odd name");
  await writeFile(path.join(directory, "long"), "0123456789".repeat(300_000));
  await symlink("../long", path.join(directory, "d/link"));
  await symlink("nowhere", path.join(directory, "gone"));
  await chmod(path.join(directory, "d/text"), 0o750);
  await chmod(path.join(directory, "d/nothing"), 0o400);
  for (const name of ["d/text", "d/nothing", "d/ü~ \\*", "long", "d/link", "gone", "d/empty", "d", "."]) {
    await lutimes(path.join(directory, name), 1_600_000_001, 1_600_000_001);
  }
}

/** Everything below a directory that both sides keep: Info-ZIP keeps neither the times of links nor the root itself. */
async function describeTree(directory: string): Promise<unknown[]> {
  const names = await tree(directory);
  return await Promise.all(
    names.map(async (name) => {
      const place = path.join(directory, name);
      const { mode, uid, gid, mtimeMs } = await lstat(place);
      if ((mode & 0o170000) === 0o120000) return { name, target: await readlink(place) };
      const content = (mode & 0o170000) === 0o100000 ? await readFile(place, "utf8") : undefined;
      return { name, mode, uid, gid, mtimeMs, content };
    }),
  );
}

/** Runs a program of the system; one that is missing fails the test by its name. */
function tool(command: string, args: readonly string[], cwd?: string): string {
  try {
    return execFileSync(command, args, { encoding: "utf8", ...(cwd === undefined ? {} : { cwd }) });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    throw new Error(`this test needs ${command} of Info-ZIP: install the Debian package "${command}"`, {
      cause: error,
    });
  }
}
