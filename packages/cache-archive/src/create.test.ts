import { execFileSync, spawn } from "node:child_process";
import { watch } from "node:fs";
import {
  chmod,
  mkdir,
  open,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  truncate,
  utimes,
  writeFile,
} from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { constants, zstdCompressSync } from "node:zlib";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { createArchive } from "./create.ts";
import { extractArchive } from "./extract.ts";
import { selectFiles } from "./select/select.ts";
import { sniffFormat } from "./sniff.ts";
import { inTurns } from "./turn.ts";
import { failure } from "./test-support/failure.ts";
import { noise } from "./test-support/noise.ts";
import { makeScratch } from "./test-support/scratch.ts";
import type { Scratch } from "./test-support/scratch.ts";
import type { ArchiveEntry, ArchiveSummary, CreateArchiveOptions } from "./types.ts";
import { readDirectory, zipEntryAt } from "./zip/directory.ts";
import type { ZipEntry } from "./zip/directory.ts";

// DOS times are local times; this must stand before anything asks for one.
process.env["TZ"] = "UTC";

let scratch: Scratch;
let root: string;
let archivePath: string;

beforeEach(async () => {
  scratch = await makeScratch();
  root = scratch.at("project");
  archivePath = scratch.at("cache/key/cache.zip");
  await mkdir(root);
});

afterEach(async () => {
  await scratch[Symbol.asyncDispose]();
});

/** The reference's archive of {@link goldenEntries} at level fastest and concurrency 1. @see cache document 3.3 */
const GOLDEN = [
  "504b03041400000000008218225800000000000000000000000002001800642f75780b000104e803000004e80300005554050001257d9365504b030414000800",
  "00008218225800000000000000000000000007001800642f656d70747975780b000104e803000004e80300005554050001257d9365504b070800000000000000",
  "0000000000504b030414000000000082182258c43dc768050000000500000006001800642f6c696e6b5554050001257d936575780b000104e803000004e80300",
  "00656d707479504b03041400080000008218225800000000000000000000000007001800642f7a2e74787475780b000104e803000004e8030000555405000125",
  "7d936568656c6c6f0a504b070820303a360600000006000000504b01021403140000000000821822580000000000000000000000000200180000000000000010",
  "00ed4100000000642f75780b000104e803000004e80300005554050001257d9365504b0102140314000800000082182258000000000000000000000000070018",
  "000000000000000000a48138000000642f656d70747975780b000104e803000004e80300005554050001257d9365504b0102140314000000000082182258c43d",
  "c7680500000005000000060018000000000000000000ffa185000000642f6c696e6b5554050001257d936575780b000104e803000004e8030000504b01021403",
  "1400080000008218225820303a360600000006000000070018000000000000000000a481c6000000642f7a2e74787475780b000104e803000004e80300005554",
  "050001257d9365504b050600000000040004002e010000190100000000",
].join("");

const FACTS = { mtimeMs: Date.parse("2024-01-02T03:04:05Z"), uid: 1000, gid: 1000 };
const goldenEntries: readonly ArchiveEntry[] = [
  { ...FACTS, path: "d", kind: "directory", bytes: 0, mode: 0o755 },
  { ...FACTS, path: "d/empty", kind: "file", bytes: 0, mode: 0o644 },
  { ...FACTS, path: "d/link", kind: "symlink", bytes: 0, mode: 0o777 },
  { ...FACTS, path: "d/z.txt", kind: "file", bytes: 6, mode: 0o644 },
];

describe("createArchive", () => {
  it("CA C1: writes the reference's archive byte for byte at level fastest and concurrency 1", async () => {
    await makeGoldenTree();
    const summary = await create({ entries: goldenEntries.toReversed(), level: "fastest", concurrency: 1 });
    expect((await readFile(archivePath)).toString("hex")).toBe(GOLDEN);
    expect(summary).toEqual({ entries: 4, bytes: 605 });
  });

  it("CA C2: gives the same content, modes and extras with four workers, each folder before its content", async () => {
    await makeGoldenTree();
    await writeFile(path.join(root, "d/text"), "text ".repeat(1000));
    const text: ArchiveEntry = { ...FACTS, path: "d/text", kind: "file", bytes: 5000, mode: 0o644 };
    await create({ entries: [...goldenEntries, text], concurrency: 4 });
    const entries = await listed();
    expect(entries.map(({ name, method, flags }) => [name, method, flags])).toEqual([
      ["d/", 0, 0],
      ["d/empty", 0, 8],
      ["d/link", 0, 0],
      ["d/text", 8, 8],
      ["d/z.txt", 0, 8],
    ]);
    expect(entries.map(({ owner, mtimeMs }) => [owner, mtimeMs])).toEqual(
      entries.map(() => [{ uid: 1000, gid: 1000 }, FACTS.mtimeMs]),
    );
    expect(entries.map(({ mode, kind }) => [mode, kind])).toEqual([
      [0o755, "directory"],
      [0o644, "file"],
      [0o777, "symlink"],
      [0o644, "file"],
      [0o644, "file"],
    ]);
    // Owner before time for what goes through as it is, time before owner for what was packed first and for links.
    expect((await extraIds()).map(([name, first]) => [name, first.toString(16)])).toEqual([
      ["d/", "7875"],
      ["d/empty", "7875"],
      ["d/link", "5455"],
      ["d/text", "5455"],
      ["d/z.txt", "7875"],
    ]);
    expect(unzip("-p", archivePath, "d/text").toString()).toBe("text ".repeat(1000));
    expect(unzip("-p", archivePath, "d/z.txt").toString()).toBe("hello\n");
  });

  it("CA C3: stores a file of one byte with several workers, with a descriptor", async () => {
    await writeFile(path.join(root, "x"), "x");
    await create({ concurrency: 4 });
    expect(await listed()).toMatchObject([{ name: "x", method: 0, flags: 8, bytes: 1, compressedBytes: 1 }]);
    const archive = await readFile(archivePath);
    expect(archive.readUInt32LE(14)).toBe(0);
    const afterData = 30 + 1 + 24 + 1;
    expect(archive.subarray(afterData, afterData + 16).toString("hex")).toBe("504b07088316dc8c0100000001000000");
  });

  it("CA C4: compresses a file of one byte at concurrency 1, although it grows", async () => {
    await writeFile(path.join(root, "x"), "x");
    await create({ concurrency: 1 });
    const [entry] = await listed();
    expect(entry).toMatchObject({ method: 8, bytes: 1 });
    expect(entry?.compressedBytes).toBeGreaterThan(1);
  });

  it("CA C5: marks names as UTF-8 where the reference does", async () => {
    for (const name of ["x", "~x", "}", "\\", "é", "\u0001"]) await writeFile(path.join(root, name), "");
    await writeFile(Buffer.concat([Buffer.from(`${root}/`), Buffer.of(0xff)]), "");
    await create();
    expect((await listed()).map(({ rawName, flags }) => [rawName.toString("latin1"), (flags & 0x800) !== 0])).toEqual([
      ["\u0001", true],
      ["\\", true],
      ["x", false],
      ["}", false],
      ["~x", true],
      ["\u00c3\u00a9", true],
      ["\u00ff", false],
    ]);
  });

  it("CA C6: keeps setuid in the external attributes", async () => {
    await writeFile(path.join(root, "tool"), "");
    await chmod(path.join(root, "tool"), 0o4755);
    await create();
    const archive = await readFile(archivePath);
    const central = archive.indexOf(Buffer.from("504b0102", "hex"));
    expect(archive.readUInt32LE(central + 38)).toBe((0o104755 << 16) >>> 0);
  });

  it("marks what its owner may not write as read-only for DOS", async () => {
    await writeFile(path.join(root, "f"), "");
    await create({ entries: [{ ...FACTS, path: "f", kind: "file", bytes: 0, mode: 0o444 }] });
    const archive = await readFile(archivePath);
    expect(archive.readUInt32LE(archive.indexOf(Buffer.from("504b0102", "hex")) + 38)).toBe(
      ((0o100444 << 16) | 1) >>> 0,
    );
  });

  it("CA C9: keeps an empty folder that was named, with its time", async () => {
    await mkdir(path.join(root, "empty"));
    await utimes(path.join(root, "empty"), 1_600_000_000, 1_600_000_000);
    await create({ entries: (await selectFiles({ root, paths: ["empty"] })).entries });
    expect((await listed()).map(({ name }) => name)).toEqual(["empty/"]);
    await extractArchive({ archivePath, root: scratch.at("out") });
    expect((await stat(scratch.at("out/empty"))).mtimeMs).toBe(1_600_000_000_000);
  });

  it("CA C13: 70 000 files need the zip64 end record, and unzip reads them", async () => {
    const entries: ArchiveEntry[] = [];
    for (let folder = 0; folder < 70; folder += 1) {
      await mkdir(path.join(root, `${folder}`));
      await Promise.all(
        Array.from({ length: 1000 }, async (_, index) => {
          const name = `${folder}/${index}`;
          await writeFile(path.join(root, name), "");
          entries.push({ ...FACTS, path: name, kind: "file", bytes: 0, mode: 0o644 });
        }),
      );
    }
    await create({ entries });
    const archive = await readFile(archivePath);
    const end = archive.length - 22;
    expect(archive.readUInt16LE(end + 10)).toBe(0xffff);
    expect(archive.readUInt32LE(end - 20)).toBe(0x07064b50);
    expect(archive.readUInt32LE(end - 76)).toBe(0x06064b50);
    expect(archive.readUInt16LE(end - 76 + 12)).toBe(45);
    expect(unzip("-tq", archivePath).toString()).toContain("No errors detected");
    expect(await listed()).toHaveLength(70_000);
  }, 300_000);

  it("CA C14: a concurrency of 0 fails the archive and touches nothing", async () => {
    await writeFile(path.join(root, "f"), "");
    await placeOldArchive();
    const error = await failure(create({ concurrency: 0 }));
    expect(error).toMatchObject({ code: "invalid-option", retryable: false });
    expect(error.message).toBe("concurrency must be at least 1, but is 0");
    await expectOldArchive();
  });

  it("CA H8: packs with the lowest effort of Zstandard for zipzstd at fastest, with method 93", async () => {
    const text = Array.from({ length: 1000 }, (_, index) => `text ${index * 7919}`).join(" ");
    await writeFile(path.join(root, "f"), text);
    for (const [level, effort] of [
      ["fastest", 1],
      ["default", 3],
      ["slowest", 11],
    ] as const) {
      await create({ format: "zipzstd", level });
      const [entry] = await listed();
      expect(entry).toMatchObject({ name: "f", method: 93 });
      const packed = zstdCompressSync(text, { params: { [constants.ZSTD_c_compressionLevel]: effort } });
      expect((await readFile(archivePath)).includes(packed)).toBe(true);
      expect(await sniffFormat(archivePath)).toBe("zip");
      await extractArchive({ archivePath, root: scratch.at(level) });
      expect(await readFile(scratch.at(level, "f"), "utf8")).toBe(text);
    }
  });

  it("makes the same bytes every time, with any number of workers above one", async () => {
    await Promise.all(
      Array.from({ length: 200 }, async (_, index) => {
        await writeFile(path.join(root, `f${index}`), `${index} `.repeat((index * 97) % 3000));
      }),
    );
    await writeFile(path.join(root, "f7-long"), "long ".repeat(500_000));
    const made: Buffer[] = [];
    for (const concurrency of [2, 2, 3, 8]) {
      await create({ concurrency });
      made.push(await readFile(archivePath));
    }
    expect(made.every((archive) => made[0]?.equals(archive) === true)).toBe(true);
    expect(unzip("-tq", archivePath).toString()).toContain("No errors detected");
  });

  it("stores a long file that does not shrink, and nothing of the attempt is left", async () => {
    const incompressible = noise(3 * 1024 * 1024);
    await writeFile(path.join(root, "a"), "a".repeat(10));
    await writeFile(path.join(root, "noise"), incompressible);
    await writeFile(path.join(root, "z"), "z".repeat(2_000_000));
    await create({ concurrency: 2 });
    expect(await listed()).toMatchObject([
      { name: "a", method: 8 },
      { name: "noise", method: 0, compressedBytes: incompressible.length },
      { name: "z", method: 8 },
    ]);
    expect(unzip("-tq", archivePath).toString()).toContain("No errors detected");
    expect(unzip("-p", archivePath, "noise").equals(incompressible)).toBe(true);
    await rm(path.join(root, "z"));
    const { bytes } = await create({ concurrency: 2 });
    expect((await stat(archivePath)).size).toBe(bytes);
  });

  it("stores a file as it is when it is read, even if it grew or shrank since it was listed", async () => {
    for (const name of ["grew", "shrank", "grew-long", "emptied"]) await writeFile(path.join(root, name), "12345");
    const { entries } = await selectFiles({ root, paths: ["*"] });
    await writeFile(path.join(root, "grew"), "1234567890");
    await writeFile(path.join(root, "shrank"), "1");
    await writeFile(path.join(root, "emptied"), "");
    await writeFile(path.join(root, "grew-long"), "long ".repeat(500_000));
    await create({ entries });
    expect((await listed()).map(({ name, bytes }) => [name, bytes])).toEqual([
      ["emptied", 0],
      ["grew", 10],
      ["grew-long", 2_500_000],
      ["shrank", 1],
    ]);
    expect(unzip("-tq", archivePath).toString()).toContain("No errors detected");
  });

  it("makes an empty archive of no entries, which is fine to extract", async () => {
    await create({ entries: [] });
    expect((await readFile(archivePath)).toString("hex")).toBe(`504b0506${"00".repeat(18)}`);
    expect(await extractArchive({ archivePath, root: scratch.at("out") })).toMatchObject({ entries: 0, bytes: 22 });
  });

  it("keeps the archive and its folder to their owner", async () => {
    await create({ entries: [] });
    expect((await stat(archivePath)).mode & 0o777).toBe(0o600);
    expect((await stat(path.dirname(archivePath))).mode & 0o777).toBe(0o700);
  });

  it.each<[what: string, path: string, kind: ArchiveEntry["kind"], code: string]>([
    ["an absolute path", "/etc/passwd", "file", "outside-root"],
    ["a path that climbs out", "../x", "file", "outside-root"],
    ["a path that climbs out in the middle", "a/../../x", "file", "outside-root"],
    ["the root as a file", ".", "file", "outside-root"],
    ["an empty path", "", "file", "outside-root"],
    ["a zero byte", "a\0b", "file", "outside-root"],
  ])("refuses %s", async (_what, name, kind, code) => {
    const error = await failure(create({ entries: [{ ...FACTS, path: name, kind, bytes: 0, mode: 0o644 }] }));
    expect(error.code).toBe(code);
  });

  it("refuses to write one name twice", async () => {
    const entry: ArchiveEntry = { ...FACTS, path: "f", kind: "file", bytes: 0, mode: 0o644 };
    const error = await failure(create({ entries: [entry, entry] }));
    expect(error).toMatchObject({ code: "duplicate-name", entryName: "f" });
  });

  it.each(["file", "symlink"] as const)(
    "fails with the name of a %s that vanished, and keeps the old archive",
    async (kind) => {
      await placeOldArchive();
      const error = await failure(create({ entries: [{ ...FACTS, path: "a/gone", kind, bytes: 3, mode: 0o644 }] }));
      expect(error).toMatchObject({ code: "entry-changed", entryName: "a/gone", retryable: true });
      expect(error.message).toContain('"a/gone"');
      await expectOldArchive();
    },
  );

  it("neither follows a link nor waits for a FIFO that took a file's place", async () => {
    await placeOldArchive();
    await writeFile(scratch.at("secret"), "secret");
    await symlink(scratch.at("secret"), path.join(root, "link"));
    execFileSync("mkfifo", [path.join(root, "pipe")]);
    await mkdir(path.join(root, "folder"));
    for (const name of ["link", "pipe", "folder"]) {
      for (const bytes of [6, 2_000_000]) {
        const error = await failure(create({ entries: [{ ...FACTS, path: name, kind: "file", bytes, mode: 0o644 }] }));
        expect(error).toMatchObject({ code: "entry-changed", entryName: name });
      }
    }
    await expectOldArchive();
  });

  it("rejects with the signal's reason in the middle of a file, and keeps the old archive", async () => {
    await placeOldArchive();
    await makeSparse("long", 2 ** 30);
    const stop = new AbortController();
    const reason = new Error("canceled");
    const work = create({ signal: stop.signal });
    await temporaryFile(path.dirname(archivePath));
    stop.abort(reason);
    await expect(work).rejects.toBe(reason);
    await expectOldArchive();
  });

  it("does nothing when the signal was aborted before", async () => {
    const reason = new Error("canceled");
    await expect(create({ entries: [], signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    await expect(stat(path.dirname(archivePath))).rejects.toMatchObject({ code: "ENOENT" });
  });

  it("CA E7: a process killed while archiving leaves the previous archive, whole", async () => {
    await placeOldArchive();
    await makeSparse("long", 2 ** 32);
    const child = spawn(process.execPath, ["--conditions=@fleetfoot/source", await childScript()], {
      stdio: ["ignore", "ignore", "inherit"],
    });
    const ended = new Promise<NodeJS.Signals | null>((resolve) => {
      child.on("close", (_code, signal) => resolve(signal));
    });
    // A child that ended by itself would never make the file.
    await Promise.race([temporaryFile(path.dirname(archivePath)), ended]);
    child.kill("SIGKILL");
    expect(await ended).toBe("SIGKILL");
    expect(await readFile(archivePath, "utf8")).toBe(OLD);
    await rm(path.join(root, "long"));
    await writeFile(path.join(root, "short"), "new");
    await create();
    expect(unzip("-p", archivePath, "short").toString()).toBe("new");
  });

  it("keeps the old archive when the file system takes no more, and says so", async () => {
    await placeOldArchive();
    await writeFile(path.join(root, "noise"), noise(1024 * 1024));
    const script = await childScript();
    const limited = execFileSync("prlimit", [
      "--fsize=300000",
      process.execPath,
      "--conditions=@fleetfoot/source",
      script,
    ]).toString();
    const report = JSON.parse(limited) as { code: string; retryable: boolean; message: string };
    expect(report).toMatchObject({ code: "no-space", retryable: true });
    expect(report.message).toContain(`write archive ${archivePath}`);
    await expectOldArchive();
  });

  it("names the folder that cannot be made", async () => {
    await writeFile(scratch.at("cache"), "a file in the way");
    const error = await failure(create({ entries: [] }));
    expect(error.code).toBe("io");
    expect(error.message).toContain(`write archive ${archivePath}`);
  });
});

const OLD = "the archive of last week";

async function placeOldArchive(): Promise<void> {
  await mkdir(path.dirname(archivePath), { recursive: true });
  await writeFile(archivePath, OLD);
}

async function expectOldArchive(): Promise<void> {
  expect(await readFile(archivePath, "utf8")).toBe(OLD);
  expect(await readdir(path.dirname(archivePath))).toEqual(["cache.zip"]);
}

async function create(options: Partial<CreateArchiveOptions> = {}): Promise<ArchiveSummary> {
  const entries = options.entries ?? (await selectFiles({ root, paths: ["*"] })).entries;
  return await createArchive({ root, archivePath, ...options, entries });
}

async function makeGoldenTree(): Promise<void> {
  await mkdir(path.join(root, "d"));
  await writeFile(path.join(root, "d/empty"), "");
  await symlink("empty", path.join(root, "d/link"));
  await writeFile(path.join(root, "d/z.txt"), "hello\n");
}

async function makeSparse(name: string, bytes: number): Promise<void> {
  await using file = await open(path.join(root, name), "w");
  await truncate(path.join(root, name), bytes);
  await file.sync();
}

/** Resolves when a temporary archive has been begun in the folder. */
async function temporaryFile(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true });
  const isThere = async (): Promise<boolean> => (await readdir(directory)).some((name) => name.startsWith("archive_"));
  const stop = new AbortController();
  await new Promise<void>((resolve, reject) => {
    const look = (): void => {
      isThere().then((there) => (there ? resolve() : undefined), reject);
    };
    watch(directory, { signal: stop.signal }, look);
    look();
  });
  stop.abort();
}

/** A program that archives the project and prints how it failed. */
async function childScript(): Promise<string> {
  const modulePath = fileURLToPath(new URL(".", import.meta.url));
  const script = scratch.at("child.mts");
  await writeFile(
    script,
    [
      `import { createArchive } from ${JSON.stringify(path.join(modulePath, "create.ts"))};`,
      `import { selectFiles } from ${JSON.stringify(path.join(modulePath, "select/select.ts"))};`,
      `const root = ${JSON.stringify(root)};`,
      `const { entries } = await selectFiles({ root, paths: ["*"] });`,
      `try { await createArchive({ root, entries, archivePath: ${JSON.stringify(archivePath)} }); }`,
      `catch (error) { console.log(JSON.stringify({ code: error.code, retryable: error.retryable, message: error.message })); }`,
    ].join("\n"),
  );
  return script;
}

async function listed(): Promise<ZipEntry[]> {
  const file = await open(archivePath, "r");
  try {
    const { size } = await file.stat();
    const { rows } = await inTurns(readDirectory({ path: archivePath, descriptor: file.fd, size }), undefined);
    return Array.from({ length: rows.count }, (_, index) => zipEntryAt(rows.table, index));
  } finally {
    await file.close();
  }
}

/** For each entry the id of the first extra field in its local header. */
async function extraIds(): Promise<[name: string, id: number][]> {
  const archive = await readFile(archivePath);
  return (await listed()).map(({ name, offset, rawName }) => [
    name,
    archive.readUInt16LE(offset + 30 + rawName.length),
  ]);
}

function unzip(...args: string[]): Buffer {
  return execFileSync("unzip", args, { maxBuffer: 2 ** 28 });
}
