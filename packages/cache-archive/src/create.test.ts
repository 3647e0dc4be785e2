import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createArchive } from "./create.ts";
import { extractArchive } from "./extract.ts";
import { mkdir, symlink, utimes, writeFile } from "node:fs/promises";
import type { ArchiveEntry } from "./types.ts";

process.env["TZ"] = "UTC";
let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), "ca-"));
});
afterEach(async () => {
  await rm(dir, { recursive: true, force: true });
});

const GOLDEN =
  `504b03041400000000008218225800000000000000000000000002001800642f75780b000104e803000004e80300005554050001257d9365504b030414000800
00008218225800000000000000000000000007001800642f656d70747975780b000104e803000004e80300005554050001257d9365504b070800000000000000
0000000000504b030414000000000082182258c43dc768050000000500000006001800642f6c696e6b5554050001257d936575780b000104e803000004e80300
00656d707479504b03041400080000008218225800000000000000000000000007001800642f7a2e74787475780b000104e803000004e8030000555405000125
7d936568656c6c6f0a504b070820303a360600000006000000504b01021403140000000000821822580000000000000000000000000200180000000000000010
00ed4100000000642f75780b000104e803000004e80300005554050001257d9365504b0102140314000800000082182258000000000000000000000000070018
000000000000000000a48138000000642f656d70747975780b000104e803000004e80300005554050001257d9365504b0102140314000000000082182258c43d
c7680500000005000000060018000000000000000000ffa185000000642f6c696e6b5554050001257d936575780b000104e803000004e8030000504b01021403
1400080000008218225820303a360600000006000000070018000000000000000000a481c6000000642f7a2e74787475780b000104e803000004e80300005554
050001257d9365504b050600000000040004002e010000190100000000`.replaceAll("\n", "");

describe("x", () => {
  it("golden", async () => {
    const root = path.join(dir, "p");
    await mkdir(path.join(root, "d"), { recursive: true });
    await writeFile(path.join(root, "d/empty"), "");
    await writeFile(path.join(root, "d/z.txt"), "hello\n");
    await symlink("empty", path.join(root, "d/link"));
    const base = { mtimeMs: Date.parse("2024-01-02T03:04:05Z"), uid: 1000, gid: 1000 };
    const entries: ArchiveEntry[] = [
      { ...base, path: "d", kind: "directory", bytes: 0, mode: 0o755 },
      { ...base, path: "d/empty", kind: "file", bytes: 0, mode: 0o644 },
      { ...base, path: "d/link", kind: "symlink", bytes: 0, mode: 0o777 },
      { ...base, path: "d/z.txt", kind: "file", bytes: 6, mode: 0o644 },
    ];
    const archivePath = path.join(dir, "c/cache.zip");
    await createArchive({ root, entries, archivePath, level: "fastest", concurrency: 1 });
    expect((await readFile(archivePath)).toString("hex")).toBe(GOLDEN);
    const out = path.join(dir, "o");
    expect(await extractArchive({ root: out, archivePath })).toEqual({ entries: 4, bytes: 605 });
    expect(await readFile(path.join(out, "d/z.txt"), "utf8")).toBe("hello\n");
  });
});
