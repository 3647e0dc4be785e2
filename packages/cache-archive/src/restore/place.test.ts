import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmdirSync } from "node:fs";
import {
  chmod,
  chown,
  lstat,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { createArchive } from "../create.ts";
import { extractArchive } from "../extract.ts";
import { finishRestores } from "./finish-restores.ts";
import { selectFiles } from "../select/select.ts";
import { makeScratch } from "../test-support/scratch.ts";
import type { Scratch } from "../test-support/scratch.ts";
import { openStaging } from "./staging.ts";
import type { Staging } from "./staging.ts";

const FILES = 40;

let scratch: Scratch;
let root: string;

beforeEach(async () => {
  scratch = await makeScratch();
  root = scratch.at("project");
});

afterEach(async () => {
  await scratch[Symbol.asyncDispose]();
});

describe("a restore that was interrupted", () => {
  // Between two moves, in the middle of one that replaces a file, and after the last one.
  it.each([1, 2, 3, 7, 20, 2 * FILES - 1, 2 * FILES])(
    "completes a restore over an older tree whose process was killed at rename %i",
    async (renames) => {
      await makeTree(root, "1");
      await killAtRename(renames);
      expect((await versionsOf(root)).length).toBeGreaterThan(renames < 2 * FILES ? 1 : 0);
      expect(await finishRestores(root)).toBe(1);
      expect(await versionsOf(root)).toEqual(["2"]);
      expect((await readdir(scratch.path)).filter((name) => name.startsWith("."))).toEqual([]);
      expect(await finishRestores(root)).toBe(0);
    },
  );

  it("leaves nothing of a restore that had not begun with its moves", async () => {
    await makeTree(root, "1");
    const staging = await ofDeadProcess(await openStaging(root));
    await writeFile(path.join(staging, "tree/f1"), "half");
    expect(await finishRestores(root)).toBe(0);
    expect(await versionsOf(root)).toEqual(["1"]);
    expect(await readdir(scratch.path)).toEqual(["project"]);
  });

  it.runIf(process.geteuid?.() === 0)("is completed although a folder belongs to somebody else", async () => {
    await makeTree(root, "1");
    await chmod(scratch.path, 0o777);
    await chown(root, 65_534, 65_534);
    await chmod(path.join(root, "d0"), 0o777);
    process.seteuid?.(65_534);
    try {
      const staging = await ofDeadProcess(await openStaging(root));
      await mkdir(path.join(staging, "tree/d0"));
      await writeFile(path.join(staging, "tree/d0/new"), "new");
      await writeJournal(staging, [{ target: "d0", mode: 0o755, mtimeMs: 5000 }]);
      expect(await finishRestores(root)).toBe(1);
    } finally {
      process.seteuid?.(0);
    }
    expect(await readFile(path.join(root, "d0/new"), "utf8")).toBe("new");
  });

  it("does nothing that a journal asks for which others could have written", async () => {
    await makeTree(root, "1");
    const staging = await ofDeadProcess(await openStaging(root));
    await writeFile(path.join(staging, "tree/evil"), "x");
    await writeJournal(staging);
    await chmod(staging, 0o777);
    expect(await finishRestores(root)).toBe(0);
    expect(await versionsOf(root)).toEqual(["1"]);
  });

  it("touches nothing outside the root, whatever a journal says", async () => {
    await makeTree(root, "1");
    await mkdir(scratch.at("outside"));
    await utimes(scratch.at("outside"), 1, 1);
    await symlink("../outside", path.join(root, "way"));
    const staging = await ofDeadProcess(await openStaging(root));
    const name = path.basename(staging);
    await mkdir(scratch.at("outside", name));
    const targets = ["../outside", "way", "/etc", "a/../../outside", 5];
    await writeJournal(
      staging,
      targets.map((target) => ({ target, mode: 0o777, mtimeMs: 5000 })),
    );
    await writeLines(path.join(staging, "foreign.jsonl"), [`../outside/${name}`, `way/${name}`, "d0", 5]);
    expect(await finishRestores(root)).toBe(1);
    expect((await lstat(scratch.at("outside"))).mode & 0o777).toBe(0o755);
    expect(await readdir(scratch.at("outside"))).toEqual([name]);
    expect(await versionsOf(root)).toEqual(["1"]);
  });
});

describe("a folder that a script of a job has planted as an unfinished restore", () => {
  let staging: string;

  beforeEach(async () => {
    await makeTree(root, "1");
    await writeFile(path.join(root, "key"), "planted");
    await mkdir(scratch.at("secret"));
    await writeFile(scratch.at("secret/key"), "secret");
    await mkdir(scratch.at("kept"));
    const made = await openStaging(root);
    // Beside the root scripts may not write.
    staging = path.join(root, path.basename(await ofDeadProcess(made)));
    await rm(path.join(scratch.path, path.basename(staging)), { recursive: true });
    await mkdir(staging, { mode: 0o700 });
    await writeJournal(staging);
  });

  it.each([
    { what: "tree and what was replaced", links: ["tree", "replaced"] },
    { what: "tree", links: ["tree"] },
    { what: "what was replaced", links: ["replaced"] },
  ])("moves nothing out of or into places outside when a link stands for its $what", async ({ links }) => {
    await mkdir(path.join(staging, "tree"));
    await writeFile(path.join(staging, "tree/key"), "other");
    if (links.includes("tree")) {
      await rm(path.join(staging, "tree"), { recursive: true });
      await symlink("../../secret", path.join(staging, "tree"));
    }
    if (links.includes("replaced")) await symlink("../../kept", path.join(staging, "replaced"));
    expect(await finishRestores(root)).toBe(0);
    await expectNothingMoved();
  });

  it("does not touch what it leads to when it is a link itself", async () => {
    await rename(staging, scratch.at("real"));
    await symlink("../real", staging);
    await mkdir(scratch.at("real/tree"));
    await writeFile(scratch.at("real/tree/key"), "other");
    expect(await finishRestores(root)).toBe(0);
    expect((await readdir(scratch.at("real"))).sort()).toEqual(["complete.jsonl", "tree"]);
    await expectNothingMoved();
  });

  it("is not believed when its mark is a link or a pipe", async () => {
    await rename(path.join(staging, "complete.jsonl"), scratch.at("list.jsonl"));
    for (const plant of [
      async (mark: string) => await symlink("../../list.jsonl", mark),
      async (mark: string) => run(["mkfifo", "-m", "600", mark]),
    ]) {
      await mkdir(path.join(staging, "tree"), { recursive: true });
      await chmod(staging, 0o700);
      await writeFile(path.join(staging, "tree/key"), "other");
      await rm(path.join(staging, "complete.jsonl"), { force: true });
      await plant(path.join(staging, "complete.jsonl"));
      expect(await finishRestores(root)).toBe(0);
      await expectNothingMoved();
    }
  });

  async function expectNothingMoved(): Promise<void> {
    expect(await readdir(scratch.at("kept"))).toEqual([]);
    expect(await readFile(scratch.at("secret/key"), "utf8")).toBe("secret");
    expect(await readFile(path.join(root, "key"), "utf8")).toBe("planted");
    expect((await readdir(root)).filter((name) => name.startsWith("."))).toEqual([]);
    expect(await versionsOf(root)).toEqual(["1"]);
  }
});

describe("a move that can neither be carried out nor taken back", () => {
  it("leaves the first error, everything else as it was, and what was replaced, until it is completed", async () => {
    await makeTree(root, "1");
    await makeTree(scratch.at("new"), "2");
    const archivePath = await archiveOf("new");
    const program = `
      import fs from "node:fs";
      import { syncBuiltinESMExports } from "node:module";
      const { renameSync } = fs;
      const refuse = (what) => { throw Object.assign(new Error("EIO: " + what), { code: "EIO" }); };
      let moves = 0;
      fs.renameSync = (from, to) => {
        if (String(to).endsWith(".jsonl")) return renameSync(from, to);
        moves += 1;
        // The sixth move fails in its second half, and the fourth one cannot be taken back.
        if (moves === 12) refuse("the move");
        if (moves === 12 + 1 + 3) refuse("the way back");
        renameSync(from, to);
      };
      syncBuiltinESMExports();
      const { extractArchive } = await import(${JSON.stringify(path.join(import.meta.dirname, "../extract.ts"))});
      const { finishRestores } = await import(${JSON.stringify(path.join(import.meta.dirname, "finish-restores.ts"))});
      const options = ${JSON.stringify({ archivePath, root, maxInlineMs: 60_000 })};
      const error = await extractArchive(options).then(() => undefined, (reason) => reason);
      const [name] = fs.readdirSync(${JSON.stringify(scratch.path)}).filter((found) => found.startsWith("."));
      const staging = ${JSON.stringify(scratch.path)} + "/" + name;
      const found = fs.readdirSync(staging).sort();
      const kept = fs.readdirSync(staging + "/replaced").map((file) => fs.readFileSync(staging + "/replaced/" + file, "utf8"));
      const contents = fs.readdirSync(options.root, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => fs.readFileSync(entry.parentPath + "/" + entry.name, "utf8")).sort().join("");
      const completed = await finishRestores(options.root);
      console.log(JSON.stringify({ code: error?.code, message: error?.message, cause: error?.cause?.cause?.errors?.map(String), found, kept, contents, completed }));`;
    const parameters = ["--conditions=@fleetfoot/source", "--input-type=module", "--eval", program];
    const report: unknown = JSON.parse(execFileSync(process.execPath, parameters, { encoding: "utf8" }));
    expect(report).toMatchObject({
      code: "io",
      message: expect.stringContaining("EIO: the move; 1 move could not be taken back"),
      cause: ["Error: EIO: the way back"],
      found: expect.arrayContaining(["complete.jsonl", "given-up", "replaced", "tree"]),
      kept: ["1"],
      contents: `${"1".repeat(FILES - 1)}2`,
      completed: 1,
    });
    expect(await versionsOf(root)).toEqual(["2"]);
    expect((await readdir(scratch.path)).filter((name) => name.startsWith("."))).toEqual([]);
  });
});

describe("what is in the way of a move", () => {
  it("may be gone when the move comes to it, as when two restores replace the same tree at once", async () => {
    await makeTree(root, "1");
    await makeTree(scratch.at("new"), "2");
    await rm(path.join(root, "d0/e0/f0"));
    await mkdir(path.join(root, "d0/e0/f0"));
    const archivePath = await archiveOf("new");
    const program = `
      import fs from "node:fs";
      import { syncBuiltinESMExports } from "node:module";
      const { renameSync, rmdirSync } = fs;
      const gone = [];
      fs.renameSync = (from, to) => {
        // Somebody else is faster with each second file.
        if (String(to).includes("/replaced/") && gone.push(String(from)) % 2 === 0) fs.unlinkSync(from);
        renameSync(from, to);
      };
      fs.rmdirSync = (folder, ...others) => {
        if (String(folder).endsWith("/f0") && gone.push(String(folder)) > 0) rmdirSync(folder);
        rmdirSync(folder, ...others);
      };
      syncBuiltinESMExports();
      const { extractArchive } = await import(${JSON.stringify(path.join(import.meta.dirname, "../extract.ts"))});
      await extractArchive(${JSON.stringify({ archivePath, root, maxInlineMs: 60_000 })});
      console.log(gone.length);`;
    const parameters = ["--conditions=@fleetfoot/source", "--input-type=module", "--eval", program];
    expect(Number(execFileSync(process.execPath, parameters, { encoding: "utf8" }))).toBe(FILES);
    expect(await versionsOf(root)).toEqual(["2"]);
    expect((await readdir(scratch.path)).filter((name) => name.startsWith("."))).toEqual([]);
  });
});

/** Another file system below the root, where this machine allows it. */
const mountable = canMount();

describe.runIf(mountable)("a mount below the root", () => {
  beforeEach(async () => {
    await mkdir(path.join(root, "d0/e0"), { recursive: true });
    mount(path.join(root, "d0/e0"));
  });

  afterEach(() => {
    unmount(path.join(root, "d0/e0"));
  });

  it("gets its part of a restore, with everything that an entry has", async () => {
    await makeTree(scratch.at("new"), "2");
    await chmod(scratch.at("new/d0/e0/f0"), 0o640);
    await mkdir(scratch.at("new/d0/e0/sub/empty"), { recursive: true });
    await symlink("../f0", scratch.at("new/d0/e0/sub/link"));
    await utimes(scratch.at("new/d0/e0/sub/empty"), 1000, 1000);
    // What is put into the mount for the restore, and taken away again, changes its time.
    await utimes(scratch.at("new/d0/e0"), 2000, 2000);
    await writeFile(path.join(root, "d0/e0/f0"), "old");
    const archivePath = await archiveOf("new");
    await extractArchive({ archivePath, root });
    expect(await listOf(root)).toEqual(await listOf(scratch.at("new")));
    expect(await versionsOf(root)).toEqual(["2"]);
    expect((await lstat(path.join(root, "d0/e0"))).dev).not.toBe((await lstat(root)).dev);
  });

  it("is as it was when a conflict elsewhere stops the restore", async () => {
    await makeTree(scratch.at("new"), "2");
    await writeFile(path.join(root, "d0/e0/f0"), "old");
    await mkdir(path.join(root, "d6/e0/f6/full"), { recursive: true });
    const archivePath = await archiveOf("new");
    await expect(extractArchive({ archivePath, root })).rejects.toMatchObject({ code: "io", entryName: "d6/e0/f6" });
    expect(await readdir(path.join(root, "d0/e0"))).toEqual(["f0"]);
    expect(await readFile(path.join(root, "d0/e0/f0"), "utf8")).toBe("old");
  });

  it.each([1, 2, 5, 2 * FILES - 1])("is completed, too, after a kill at rename %i", async (renames) => {
    await makeTree(root, "1");
    await killAtRename(renames);
    expect(await finishRestores(root)).toBe(1);
    expect(await versionsOf(root)).toEqual(["2"]);
    expect((await readdir(path.join(root, "d0/e0"))).filter((name) => name.startsWith("."))).toEqual([]);
  });
});

/** The journal of a restore that was about to move its tree into this root. */
async function writeJournal(staging: string, folders: readonly unknown[] = []): Promise<void> {
  const { dev, ino } = await lstat(root, { bigint: true });
  await writeLines(path.join(staging, "complete.jsonl"), [
    { root, device: String(dev), inode: String(ino) },
    ...folders,
  ]);
}

async function writeLines(file: string, lines: readonly unknown[]): Promise<void> {
  await writeFile(file, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
}

/** The folder, as one that a process made which is gone. */
async function ofDeadProcess({ folder, lock }: Staging): Promise<string> {
  await lock.release();
  return folder;
}

/** Restores version 2 over the root in a process of its own, which the kernel kills at its n-th move. */
async function killAtRename(renames: number): Promise<void> {
  const [place, staging] = ["place.ts", "staging.ts"].map((name) => path.join(import.meta.dirname, name));
  const program = `
    import fs from "node:fs";
    import { syncBuiltinESMExports } from "node:module";
    const { renameSync } = fs;
    let moves = 0;
    fs.renameSync = (from, to) => {
      // The journal comes first, and is no move.
      if (!String(to).endsWith(".jsonl") && ++moves > ${renames}) process.kill(process.pid, "SIGKILL");
      renameSync(from, to);
    };
    syncBuiltinESMExports();
    const { placeTree } = await import(${JSON.stringify(place)});
    const { openStaging } = await import(${JSON.stringify(staging)});
    const { root, folder } = await openStaging(${JSON.stringify(root)});
    for (let nth = 0; nth < ${FILES}; nth += 1) {
      const place = folder + "/tree/d" + (nth % 7) + "/e" + (nth % 3);
      fs.mkdirSync(place, { recursive: true });
      fs.writeFileSync(place + "/f" + nth, "2");
    }
    for (const step of placeTree(root, folder, [])) void step;
    process.kill(process.pid, "SIGKILL");`;
  const child = spawn(process.execPath, ["--conditions=@fleetfoot/source", "--input-type=module", "--eval", program], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  const signal = await new Promise((resolve) => child.on("close", (_code, name) => resolve(name)));
  expect(signal).toBe("SIGKILL");
}

async function makeTree(place: string, version: string): Promise<void> {
  for (let nth = 0; nth < FILES; nth += 1) {
    const folder = path.join(place, `d${nth % 7}/e${nth % 3}`);
    await mkdir(folder, { recursive: true });
    await writeFile(path.join(folder, `f${nth}`), version);
  }
}

async function archiveOf(name: string): Promise<string> {
  const archivePath = scratch.at("cache.zip");
  const { entries } = await selectFiles({ root: scratch.at(name), paths: ["."] });
  await createArchive({ root: scratch.at(name), entries, archivePath });
  return archivePath;
}

/** Each version that some file is of; a file that is missing counts as one. */
async function versionsOf(place: string): Promise<string[]> {
  const versions = new Set<string>();
  for (let nth = 0; nth < FILES; nth += 1) {
    const file = path.join(place, `d${nth % 7}/e${nth % 3}/f${nth}`);
    versions.add(await readFile(file, "utf8").catch(() => "missing"));
  }
  return [...versions].sort();
}

async function listOf(place: string): Promise<unknown[]> {
  const { entries } = await selectFiles({ root: place, paths: ["*"] });
  return entries.map(({ path: name, kind, mode, mtimeMs }) => [name, kind, mode, Math.floor(mtimeMs / 1000)]);
}

function canMount(): boolean {
  const place = mkdtempSync(path.join(tmpdir(), "mount-"));
  try {
    mount(place);
    unmount(place);
    return true;
  } catch {
    return false;
  } finally {
    rmdirSync(place);
  }
}

function mount(place: string): void {
  run(["mount", "-t", "tmpfs", "none", place]);
}

function unmount(place: string): void {
  run(["umount", place]);
}

function run([program = "", ...parameters]: readonly string[]): void {
  execFileSync(program, parameters, { stdio: "pipe" });
}
