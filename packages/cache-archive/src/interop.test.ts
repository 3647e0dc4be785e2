import { execFile } from "node:child_process";
import { chmod, lstat, mkdir, readFile, readlink, symlink, utimes, writeFile } from "node:fs/promises";
import { promisify } from "node:util";
import { crc32 } from "node:zlib";

import { requireFastzip, requireProgram } from "@fleetfoot-tooling/systems";
import { describe, expect, it } from "vitest";

import { createArchive } from "./create.ts";
import { extractArchive } from "./extract.ts";
import { selectFiles } from "./select/select.ts";
import { makeScratch } from "./test-support/scratch.ts";
import type { Scratch } from "./test-support/scratch.ts";
import type { ArchiveEngine } from "./types.ts";

const run = promisify(execFile);
const engines = ["parallel", "streaming"] as const;

describe.each(engines)("archives of the %s engine", (engine) => {
  it("are read by Go's fastzip, Info-ZIP's unzip and bsdtar", async () => {
    await using scratch = await makeProject();
    const archivePath = await pack(scratch, engine, "zip");
    const { path: unzip } = await requireProgram("unzip");
    const { path: bsdtar } = await requireProgram("bsdtar");
    await run(await requireFastzip(), ["extract", archivePath, scratch.at("by-fastzip")]);
    await run(unzip, ["-q", archivePath, "-d", scratch.at("by-unzip")]);
    await mkdir(scratch.at("by-bsdtar"));
    await run(bsdtar, ["-xpf", archivePath, "-C", scratch.at("by-bsdtar")]);
    for (const reader of ["by-fastzip", "by-unzip", "by-bsdtar"]) {
      expect([reader, await describeTree(scratch.at(reader))]).toEqual([
        reader,
        await describeTree(scratch.at("project")),
      ]);
    }
  });

  it("of tar and Zstandard are read by bsdtar", async () => {
    await using scratch = await makeProject();
    const archivePath = await pack(scratch, engine, "tarzstd");
    const { path: bsdtar } = await requireProgram("bsdtar");
    await mkdir(scratch.at("out"));
    await run(bsdtar, ["-xpf", archivePath, "-C", scratch.at("out")]);
    expect(await describeTree(scratch.at("out"))).toEqual(await describeTree(scratch.at("project")));
  });
});

it.each(engines)("the %s engine restores what fastzip and bsdtar write", async (engine) => {
  await using scratch = await makeProject();
  const { path: bsdtar } = await requireProgram("bsdtar");
  const writers = {
    fastzip: async () =>
      await run(await requireFastzip(), ["create", scratch.at("fastzip"), scratch.at("project"), "5"]),
    bsdtar: async () =>
      await run(bsdtar, ["--format=zip", "-cf", scratch.at("bsdtar"), "-C", scratch.at("project"), "."]),
    tar: async () => await run(bsdtar, ["--zstd", "-cf", scratch.at("tar"), "-C", scratch.at("project"), "."]),
  };
  for (const [name, write] of Object.entries(writers)) {
    await write();
    await extractArchive({ archivePath: scratch.at(name), root: scratch.at("from", name), engine, maxInlineMs: 0 });
    expect([name, await describeTree(scratch.at("from", name))]).toEqual([
      name,
      await describeTree(scratch.at("project")),
    ]);
  }
});

async function pack(scratch: Scratch, engine: ArchiveEngine, format: "tarzstd" | "zip"): Promise<string> {
  const archivePath = scratch.at(`${engine}.${format}`);
  const { entries } = await selectFiles({ root: scratch.at("project"), paths: ["."] });
  await createArchive({ root: scratch.at("project"), entries, archivePath, format, engine, maxInlineMs: 0 });
  return archivePath;
}

/** With long files, which the parallel engine cuts into blocks: one that shrinks, one that does not, one of both kinds. */
async function makeProject(): Promise<Scratch> {
  const scratch = await makeScratch();
  const at = (name: string): string => scratch.at("project", name);
  const noise = crypto.getRandomValues(new Uint8Array(65_536));
  await mkdir(at("d/empty"), { recursive: true });
  await writeFile(at("d/text"), "some text that shrinks ".repeat(300_000));
  await writeFile(
    at("d/noise"),
    Buffer.concat(Array.from({ length: 80 }, (_, nth) => noise.map((byte) => byte ^ nth))),
  );
  await writeFile(at("d/both"), Buffer.concat([Buffer.alloc(3_000_000), ...Array.from({ length: 40 }, () => noise)]));
  await writeFile(at("empty"), "");
  await writeFile(at("program"), "#!/bin/sh\n");
  await chmod(at("program"), 0o755);
  await symlink("../program", at("d/link"));
  for (const name of ["d/text", "d/noise", "d/both", "empty", "program"])
    await utimes(at(name), 1_600_000_001, 1_600_000_001);
  return scratch;
}

async function describeTree(root: string): Promise<unknown[]> {
  const { entries } = await selectFiles({ root, paths: ["**"] });
  return await Promise.all(
    entries
      .filter(({ path }) => path !== ".")
      .map(async ({ path, kind, mode }) => {
        const place = `${root}/${path}`;
        if (kind === "symlink") return [path, await readlink(place)];
        if (kind === "directory") return [path];
        return [path, mode, (await lstat(place)).mtimeMs, crc32(await readFile(place))];
      }),
  );
}
