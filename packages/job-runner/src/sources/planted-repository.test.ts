import { execFile } from "node:child_process";
import { lstat, mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { openKeptCopy } from "../test-support/kept-copy.ts";
import type { KeptCopy } from "../test-support/kept-copy.ts";
import { removePlantedRepository } from "./planted-repository.ts";

describe("what a job has put in the place of its repository", () => {
  let copy: KeptCopy;
  beforeEach(async () => {
    copy = await openKeptCopy({ file: "content" });
    await mkdir(join(copy.outside, "refs"));
    for (const name of precious) await writeFile(join(copy.outside, name), "precious\n");
  });
  afterEach(() => copy.dispose());

  const precious = ["config", "index.lock", "post-checkout", "refs/x.lock"];

  it.each([
    { what: "its settings, a link", plant: "ln -sf $OUTSIDE/config .git/config" },
    { what: "its settings, a pipe", plant: "rm .git/config; mkfifo .git/config" },
    { what: "its references, a link", plant: "rm -rf .git/refs; ln -s $OUTSIDE .git/refs" },
    { what: "its objects, a link", plant: "rm -rf .git/objects; ln -s $OUTSIDE .git/objects" },
    { what: "all of it, a link", plant: "rm -rf .git; ln -s $OUTSIDE .git" },
    { what: "all of it, a file", plant: "rm -rf .git; echo gitdir: $OUTSIDE > .git" },
    { what: "what was fetched last, a link", plant: "ln -sf $OUTSIDE/config .git/FETCH_HEAD" },
    { what: "what was fetched last, a pipe", plant: "rm -f .git/FETCH_HEAD; mkfifo .git/FETCH_HEAD" },
    { what: "its logs, a link", plant: "rm -rf .git/logs; ln -s $OUTSIDE .git/logs" },
    { what: "its index, a link", plant: "ln -sf $OUTSIDE/index .git/index" },
    { what: "its index, a pipe", plant: "rm .git/index; mkfifo .git/index" },
    { what: "its packed references, a pipe", plant: "rm -f .git/packed-refs; mkfifo .git/packed-refs" },
    { what: "where its history ends, a pipe", plant: "rm -f .git/shallow; mkfifo .git/shallow" },
    {
      what: "the name of another repository",
      plant: "cp -r .git $OUTSIDE/../other; echo $OUTSIDE/../other > .git/commondir",
    },
    {
      what: "the hooks of a submodule, a link",
      plant: "mkdir -p .git/modules/a; cp .git/HEAD .git/modules/a; ln -s $OUTSIDE .git/modules/a/hooks",
    },
    {
      what: "the references of a submodule, a link",
      plant: "mkdir -p .git/modules/a; cp .git/HEAD .git/modules/a; ln -s $OUTSIDE/refs .git/modules/a/refs",
    },
    {
      what: "the settings of a submodule, a link",
      plant: "mkdir -p .git/modules/a; cp .git/HEAD .git/modules/a; ln -s $OUTSIDE/config .git/modules/a/config",
    },
  ])("is neither followed nor waited for, but made anew: $what", async ({ plant }) => {
    const { outside, project, run } = copy;
    expect(await run(plant.replaceAll("$OUTSIDE", outside))).toContain("made anew");
    await run("cat file");
    expect((await readdir(outside, { recursive: true })).toSorted()).toEqual([...precious, "refs"].toSorted());
    for (const name of precious) expect(await readFile(join(outside, name), "utf8")).toBe("precious\n");
    expect((await lstat(join(project, ".git"))).isDirectory()).toBe(true);
    expect((await lstat(join(project, ".git/config"))).isFile()).toBe(true);
    expect(await run("cat file")).not.toContain("made anew");
  });
});

describe("what counts as planted", () => {
  let project: string;
  let warnings: string[];
  beforeEach(async () => {
    project = await mkdtemp(join(tmpdir(), "planted-"));
    warnings = [];
    await files(".git", [
      "HEAD",
      "config",
      "objects/ab/cd",
      "objects/pack/p.idx",
      "refs/remotes/origin/HEAD",
      "logs/HEAD",
    ]);
  });
  afterEach(() => rm(project, { recursive: true }));

  async function files(folder: string, names: readonly string[]): Promise<void> {
    for (const name of names) {
      const path = join(project, folder, name);
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, "");
    }
  }

  const log = { warning: (text: string) => warnings.push(text) };

  async function isPlanted({ cleans = true, borrows = false } = {}): Promise<boolean> {
    const found = await removePlantedRepository(project, { cleans, borrows, log });
    expect(warnings).toHaveLength(found ? 1 : 0);
    expect(await readdir(project)).toEqual(found ? [] : [".git"]);
    return found;
  }

  const module = ["HEAD", "config", "refs/heads/main"];
  const links = [
    "FETCH_HEAD",
    "index",
    "packed-refs",
    "shallow",
    "logs",
    "hooks",
    "info",
    "modules",
    "ORIG_HEAD",
    "lfs",
    "refs/heads/a/b",
    "logs/refs",
    "hooks/post-checkout",
    "info/exclude",
    "objects/ef",
    "objects/pack/q.pack",
    "objects/info",
    "objects/info/alternates",
    "lfs/objects/ab/cd",
    "lfs/objects/ab/cd/abcd",
    "objects/ab/ef",
    "objects/ab/ef/gh",
    "modules/group/a/objects/ab/cd",
    "modules/a",
    "modules/group/a",
    "worktrees/a",
    "modules/group/a/refs",
    "modules/group/a/objects",
    "modules/group/a/objects/ab",
    "modules/a/modules/b/HEAD",
  ];

  it.each(links)("is a link %s", async (name) => {
    await files(".git/modules/group/a", module);
    const path = join(project, ".git", name);
    await rm(path, { recursive: true, force: true });
    await mkdir(dirname(path), { recursive: true });
    await symlink("/nowhere", path);
    expect(await isPlanted()).toBe(true);
  });

  it.each(["HEAD", "FETCH_HEAD", "modules/a/index", "refs/heads/main", "objects/ab/ef"])(
    "is a pipe %s",
    async (name) => {
      const path = join(project, ".git", name);
      await rm(path, { force: true });
      await mkdir(dirname(path), { recursive: true });
      await promisify(execFile)("mkfifo", [path]);
      expect(await isPlanted()).toBe(true);
    },
  );

  it.each(["commondir", "modules/a/commondir", "modules/a/b/commondir", "modules/logs/commondir"])(
    "is the name of another repository, in %s",
    async (name) => {
      await files(".git/modules/a", module);
      await files(".git", [name]);
      expect(await isPlanted()).toBe(true);
    },
  );

  it.each(["HEAD", "FETCH_HEAD", "index", "packed-refs", "modules/a/config"])("is a folder %s", async (name) => {
    await files(".git/modules/a", module);
    await rm(join(project, ".git", name), { force: true });
    await mkdir(join(project, ".git", name));
    expect(await isPlanted()).toBe(true);
  });

  it.each(["refs", "modules/a/objects"])("is a file %s", async (name) => {
    await files(".git/modules/a", module);
    await rm(join(project, ".git", name), { force: true, recursive: true });
    await files(".git", [name]);
    expect(await isPlanted()).toBe(true);
  });

  it("is nothing that git itself makes, whatever branches and submodules are called", async () => {
    for (const name of ["index", "config", "refs", "commondir", "group/a"]) await files(`.git/modules/${name}`, module);
    await files(".git/modules/index/modules/b", module);
    await files(".git", ["refs/remotes/origin/commondir", "logs/refs/heads/commondir", "refs/heads/index/HEAD"]);
    await files(".git/worktrees/a", ["HEAD", "commondir", "gitdir", "index"]);
    await files(".git", ["lfs/objects/ab/cd/abcd", "index.lock", "hooks/post-checkout", "fleetfoot-fetched"]);
    expect(await isPlanted()).toBe(false);
  });

  it("is nothing that a job has in its caches, which wait beside the repository for the next one that wants them", async () => {
    await files(".git", ["fleetfoot-aside/gems/vendor/commondir"]);
    await symlink("/nowhere", join(project, ".git/fleetfoot-aside/gems/vendor/link"));
    expect(await isPlanted()).toBe(false);
    await rm(join(project, ".git/fleetfoot-aside"), { recursive: true });
    await symlink("/nowhere", join(project, ".git/fleetfoot-aside"));
    expect(await isPlanted()).toBe(true);
  });

  it.each(["objects/info/alternates", "objects/info/http-alternates", "modules/group/a/objects/info/alternates"])(
    "is the name of another repository's objects, in %s, unless a job may use such",
    async (name) => {
      await files(".git/modules/group/a", module);
      await files(".git", [name]);
      expect(await isPlanted({ borrows: true })).toBe(false);
      expect(await isPlanted()).toBe(true);
    },
  );

  it.each(["packed-refs", "modules/a/packed-refs"])(
    "is another object in the place of one, in %s, unless settings of jobs are kept",
    async (name) => {
      await files(".git/modules/a", module);
      const long = `${"0".repeat(40)} refs/tags/${"x".repeat(100)}\n`.repeat(2000);
      const path = join(project, ".git", name);
      await writeFile(path, long);
      expect(await isPlanted()).toBe(false);
      await writeFile(path, `${long}${"0".repeat(40)} refs/replace/${"1".repeat(40)}\n`);
      expect(await isPlanted({ cleans: false })).toBe(false);
      expect(await isPlanted()).toBe(true);
    },
  );

  it("is nothing where there is no repository", async () => {
    await rm(join(project, ".git"), { recursive: true });
    expect(await removePlantedRepository(project, { cleans: true, borrows: false, log })).toBe(false);
  });
});
