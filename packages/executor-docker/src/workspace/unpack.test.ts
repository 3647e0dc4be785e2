import fs from "node:fs";
import { lstat, mkdtemp, readFile, readlink, readdir, rm } from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";

import { pack as createPack } from "tar-stream";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { unpack } from "./unpack.ts";

const mtime = new Date("2026-01-02T03:04:05Z");
let root: string;
const { link } = fs.promises;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "unpack-"));
});
afterEach(async () => {
  setLink(link);
  await rm(root, { recursive: true });
});

describe("unpack", () => {
  it("gives a file its second name", async () => {
    await unpackTwins();
    expect(await inodes("a/file", "b/twin")).toHaveLength(1);
  });

  it.each(["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK"])(
    "copies files and links where there can be no second name (%s)",
    async (code) => {
      setLink(async () => await Promise.reject(Object.assign(new Error(`${code}: refused`), { code })));
      await unpackTwins();
      expect(await inodes("a/file", "b/twin")).toHaveLength(2);
      expect(await readFile(join(root, "b/twin"), "utf8")).toBe("content");
      const { mode, mtimeMs } = await lstat(join(root, "b/twin"));
      expect([mode & 0o777, mtimeMs]).toEqual([0o750, mtime.getTime()]);
      expect(await readlink(join(root, "b/link"))).toBe("/nowhere");
    },
  );

  it("passes on what else goes wrong with a second name", async () => {
    setLink(async () => await Promise.reject(Object.assign(new Error("EIO: broken"), { code: "EIO" })));
    await expect(unpackTwins()).rejects.toThrow("EIO: broken");
    expect(await readdir(join(root, "b"))).toEqual([]);
  });
});

async function unpackTwins(): Promise<void> {
  const archive = createPack();
  archive.entry({ name: "a/file", mode: 0o750, mtime }, "content");
  archive.entry({ name: "a/link", type: "symlink", linkname: "/nowhere", mtime });
  archive.entry({ name: "b/twin", type: "link", linkname: "a/file", mode: 0o750, mtime });
  archive.entry({ name: "b/link", type: "link", linkname: "a/link", mtime });
  archive.finalize();
  const { signal } = new AbortController();
  await unpack(archive as unknown as Readable, { root, place: (name) => name, signal });
}

async function inodes(...names: readonly string[]): Promise<readonly number[]> {
  const all = await Promise.all(names.map(async (name) => (await lstat(join(root, name))).ino));
  return [...new Set(all)];
}

function setLink(replacement: typeof link): void {
  fs.promises.link = replacement;
  syncBuiltinESMExports();
}
