import { execFileSync } from "node:child_process";
import { chmod, lstat, mkdir, mkdtemp, readdir, readFile, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { readMetadata, writeMetadata } from "./cache/metadata.ts";
import { recallStored, rememberStored } from "./cache/stored-archive.ts";
import { readPlainFile, replacePlainFile } from "./plain-files.ts";
import { forgetFetch, isFetched, rememberFetch } from "./sources/fetched-before.ts";
import { readEnvironmentFile } from "./variables/environment-file.ts";

let folder: string;
let place: string;
let secret: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "plain-files-"));
  place = join(folder, "place");
  secret = join(folder, "secret");
  await writeFile(secret, "precious");
});

afterEach(async () => {
  await rm(folder, { recursive: true });
});

/** What a job can put where the runner expects a file of its own. */
const plants = [
  { what: "a link", plant: async (path: string) => await symlink(secret, path) },
  { what: "a pipe", plant: async (path: string) => void execFileSync("mkfifo", [path]) },
  { what: "a folder", plant: async (path: string) => await mkdir(path) },
  {
    what: "a file of a terabyte",
    plant: async (path: string) => {
      await writeFile(path, "{");
      await truncate(path, 2 ** 40);
    },
  },
];

describe("a file where jobs can write", () => {
  it.each(plants)("is none when $what is in its place", async ({ plant }) => {
    await plant(place);
    expect(await readPlainFile(place)).toBeUndefined();
  });

  it("is read up to the length that is allowed", async () => {
    await writeFile(place, "12345");
    expect(await readPlainFile(place, 5)).toBe("12345");
    expect(await readPlainFile(place, 4)).toBeUndefined();
    expect(await readPlainFile(join(folder, "absent"))).toBeUndefined();
  });

  it("is replaced as a whole, and what a link leads to is not written to", async () => {
    await symlink(secret, place);
    await replacePlainFile(place, "own", 0o640);
    expect(await readFile(place, "utf8")).toBe("own");
    expect((await lstat(place)).isFile()).toBe(true);
    expect(await readFile(secret, "utf8")).toBe("precious");
  });

  it("leaves nothing beside it when it cannot be written", async () => {
    await mkdir(place);
    await expect(replacePlainFile(place, "own")).rejects.toMatchObject({ code: "EISDIR" });
    expect((await readdir(folder)).sort()).toEqual(["place", "secret"]);
  });
});

describe("what a job puts in the place of", () => {
  const gitInfo = {
    repo_url: "https://git.example.com/p.git",
    ref: "m",
    ref_type: "branch",
    before_sha: "0".repeat(40),
    sha: "1".repeat(40),
    refspecs: ["+refs/heads/m:refs/heads/m"],
  } as const;

  it.each(plants)("the record of the last fetch, $what, costs a fetch and nothing else", async ({ plant }) => {
    const record = join(folder, ".git/fleetfoot-fetched");
    await mkdir(join(folder, ".git/refs/heads"), { recursive: true });
    await writeFile(join(folder, ".git/refs/heads/m"), `${gitInfo.sha}\n`);
    await plant(record);
    expect(await isFetched(folder, gitInfo)).toBe(false);
    await rememberFetch(folder, gitInfo);
    expect(await readFile(secret, "utf8")).toBe("precious");
    expect(await isFetched(folder, gitInfo)).toBe(true);
    await forgetFetch(folder);
    await plant(record);
    await forgetFetch(folder);
    expect(await readdir(join(folder, ".git"))).toEqual(["refs"]);
    expect(await readFile(secret, "utf8")).toBe("precious");
  });

  it.each(plants)("a fetched ref, $what, costs a fetch and nothing else", async ({ plant }) => {
    await mkdir(join(folder, ".git/refs/heads"), { recursive: true });
    await rememberFetch(folder, gitInfo);
    await plant(join(folder, ".git/refs/heads/m"));
    expect(await isFetched(folder, gitInfo)).toBe(false);
  });

  it("the repository's folder, a link, gets no record of a fetch, and loses none", async () => {
    const elsewhere = join(folder, "elsewhere");
    await mkdir(elsewhere);
    await writeFile(join(elsewhere, "fleetfoot-fetched"), "kept");
    await symlink(elsewhere, join(folder, ".git"));
    await rememberFetch(folder, gitInfo);
    await forgetFetch(folder);
    expect(await isFetched(folder, gitInfo)).toBe(false);
    expect(await readFile(join(elsewhere, "fleetfoot-fetched"), "utf8")).toBe("kept");
  });

  it.each(plants)("the records beside an archive, $what, says nothing and is not written to", async ({ plant }) => {
    const archive = join(folder, "cache.zip");
    await writeFile(archive, "x");
    const facts = await lstat(archive);
    for (const name of ["metadata.json", "manifest.json"]) await plant(join(folder, name));
    expect(await readMetadata(archive)).toEqual({});
    expect(await recallStored(archive, facts)).toBeUndefined();
    await Promise.allSettled([
      writeMetadata(archive, { cachekey: "k" }),
      rememberStored(archive, facts, { objectName: "o", version: "1" }),
    ]);
    expect(await readFile(secret, "utf8")).toBe("precious");
  });

  it.each(plants)("the file of variables for later stages, $what, gives none", async ({ plant }) => {
    await writeFile(secret, "SECRET=precious\n");
    await chmod(secret, 0o600);
    await plant(place);
    const variables = await readEnvironmentFile(place).catch((error: unknown) => error);
    expect(variables instanceof Map ? [...variables] : String(variables)).not.toContain("precious");
  });
});
