import { execFile } from "node:child_process";
import { chmod, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { UsageError } from "../errors.ts";
import { createGit, type Git } from "./git.ts";
import { readProject } from "./project.ts";
import { takeSnapshot, type Snapshot } from "./snapshot.ts";

const runFile = promisify(execFile);

describe("takeSnapshot", () => {
  let folder: string;
  let project: string;
  let git: Git;
  const environment = (): Record<string, string> => ({
    PATH: process.env["PATH"] ?? "",
    HOME: folder,
    GIT_CONFIG_NOSYSTEM: "1",
    // What git says is read in places; the language of the user must not matter.
    LANG: "C.UTF-8",
    LANGUAGE: "de",
    GIT_AUTHOR_NAME: "A",
    GIT_AUTHOR_EMAIL: "a@example.org",
    GIT_COMMITTER_NAME: "A",
    GIT_COMMITTER_EMAIL: "a@example.org",
  });

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "fleetfoot-snapshot-"));
    project = join(folder, "project");
    await mkdir(project);
    git = createGit(project, environment(), new AbortController().signal);
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  async function commit(files: Record<string, string>): Promise<void> {
    await git(["init", "--quiet", "--initial-branch=trunk"]);
    for (const [name, text] of Object.entries(files)) await writeFile(join(project, name), text);
    await git(["add", "--all"]);
    await git(["commit", "--quiet", "--message", "first"]);
  }

  async function snapshot(
    options: { committedOnly?: boolean; directory?: string; stateDirectory?: string } = {},
  ): Promise<Snapshot> {
    const directory = options.directory ?? project;
    const own = createGit(directory, environment(), new AbortController().signal);
    const stateDirectory = join(directory, options.stateDirectory ?? ".fleetfoot");
    await mkdir(stateDirectory, { recursive: true });
    return takeSnapshot({
      project: await readProject(directory, own),
      stateDirectory,
      committedOnly: options.committedOnly ?? false,
      git: own,
    });
  }

  async function checkOut({ repositoryUrl, sha }: Snapshot): Promise<string> {
    const target = await mkdtemp(join(folder, "checkout-"));
    await runFile("git", ["clone", "--quiet", "--no-checkout", repositoryUrl, target], { env: environment() });
    await runFile("git", ["-C", target, "checkout", "--quiet", sha], { env: environment() });
    return target;
  }

  it("is the commit itself when nothing has changed", async () => {
    await commit({ "a.txt": "one" });
    const taken = await snapshot();
    expect(taken.sha).toBe((await git(["rev-parse", "HEAD"])).trim());
    expect(taken.hasUncommittedChanges).toBe(false);
  });

  it("holds changed, new and removed files, and leaves the working tree and the repository as they were", async () => {
    await commit({ "a.txt": "one", "b.txt": "two", ".gitignore": "ignored.txt\n.fleetfoot/\n" });
    await writeFile(join(project, "a.txt"), "changed");
    await writeFile(join(project, "new.txt"), "new");
    await writeFile(join(project, "ignored.txt"), "no");
    await rm(join(project, "b.txt"));
    const before = await git(["status", "--porcelain=v2"]);
    const objectsBefore = await git(["count-objects", "-v"]);

    const taken = await snapshot();
    const target = await checkOut(taken);

    expect(taken.hasUncommittedChanges).toBe(true);
    expect(await git(["-C", target, "ls-files"])).toBe(".gitignore\na.txt\nnew.txt\n");
    expect(await readFile(join(target, "a.txt"), "utf8")).toBe("changed");
    expect(await git(["status", "--porcelain=v2"])).toBe(before);
    expect(await git(["count-objects", "-v"])).toBe(objectsBefore);
  });

  it("leaves changes out when only committed ones are wanted", async () => {
    await commit({ "a.txt": "one" });
    await writeFile(join(project, "a.txt"), "changed");
    const target = await checkOut(await snapshot({ committedOnly: true }));
    expect(await readFile(join(target, "a.txt"), "utf8")).toBe("one");
  });

  it("works in a folder that is no repository", async () => {
    await writeFile(join(project, "a.txt"), "one");
    const target = await checkOut(await snapshot());
    expect(await readFile(join(target, "a.txt"), "utf8")).toBe("one");
  });

  it("takes only the folder when it lies inside a repository", async () => {
    await mkdir(join(project, "inner"));
    await commit({ "a.txt": "one", "inner/b.txt": "two" });
    const target = await checkOut(await snapshot({ directory: join(project, "inner") }));
    expect(await git(["-C", target, "ls-files"])).toBe("b.txt\n");
  });

  it("leaves out of a folder what patterns above it leave out, also when a link leads there", async () => {
    await mkdir(join(project, "inner"));
    await commit({ ".gitignore": "*.log\n", "a.txt": "one", "inner/b.txt": "two", "inner/c.txt": "three" });
    await writeFile(join(project, ".git/info/exclude"), "/inner/private.txt\n");
    for (const name of ["x.log", "private.txt", "new.txt"]) await writeFile(join(project, "inner", name), "x");
    await rm(join(project, "inner/c.txt"));
    await symlink(join(project, "inner"), join(folder, "link"));
    for (const directory of [join(project, "inner"), join(folder, "link")]) {
      const taken = await snapshot({ directory });
      const target = await checkOut(taken);
      expect(await git(["-C", target, "ls-files"])).toBe("b.txt\nnew.txt\n");
      expect(await taken.blobIdOf("b.txt")).toBe((await git(["hash-object", "inner/b.txt"])).trim());
    }
  });

  it("does not take a repository for a plain folder because git refuses to read it", async () => {
    await commit({ "a.txt": "one" });
    const foreign = createGit(
      project,
      { ...environment(), GIT_TEST_ASSUME_DIFFERENT_OWNER: "1" },
      new AbortController().signal,
    );
    await expect(readProject(project, foreign)).rejects.toThrow(UsageError);
    await expect(readProject(project, foreign)).rejects.toThrow("safe.directory");
  });

  it("never holds its own state folder, ignored or not", async () => {
    await commit({ "a.txt": "one" });
    await snapshot();
    const target = await checkOut(await snapshot());
    expect(await git(["-C", target, "ls-files"])).toBe("a.txt\n");
  });

  it.each(["..x", "a*b", "[ab]", "!odd", "#odd", "deep/er", "back\\slash"])(
    "never holds the state folder %s, nor the usual one of earlier runs",
    async (stateDirectory) => {
      await commit({ "a.txt": "one" });
      await snapshot();
      await snapshot({ stateDirectory });
      const target = await checkOut(await snapshot({ stateDirectory }));
      expect(await git(["-C", target, "ls-files"])).toBe("a.txt\n");
    },
  );

  it("does not take other folders for the state because its name has a wildcard", async () => {
    await commit({ "a.txt": "one" });
    await mkdir(join(project, "axb"));
    await writeFile(join(project, "axb/c.txt"), "one");
    const target = await checkOut(await snapshot({ stateDirectory: "a*b" }));
    expect(await git(["-C", target, "ls-files"])).toBe("a.txt\naxb/c.txt\n");
  });

  it("leaves out what the repository's own list of exclusions and its settings leave out", async () => {
    await commit({ "a.txt": "one" });
    await writeFile(join(project, ".git/info/exclude"), "private.txt");
    await writeFile(join(folder, "excludes"), "other.txt\n");
    await git(["config", "core.excludesFile", join(folder, "excludes")]);
    await writeFile(join(project, "private.txt"), "no");
    await writeFile(join(project, "other.txt"), "no");
    expect((await snapshot()).hasUncommittedChanges).toBe(false);
  });

  it("runs the filters and heeds the file modes that the repository is set to", async () => {
    await commit({ "a.txt": "one", ".gitattributes": "*.up filter=upper\n" });
    await git(["config", "filter.upper.clean", "tr a-z A-Z"]);
    await git(["config", "core.fileMode", "false"]);
    await writeFile(join(project, "b.up"), "text");
    await chmod(join(project, "a.txt"), 0o755);
    const target = await checkOut(await snapshot());
    expect(await readFile(join(target, "b.up"), "utf8")).toBe("TEXT");
    expect(await git(["-C", target, "ls-files", "--stage", "a.txt"])).toMatch(/^100644 /);
  });

  it("holds a committed file that a pattern would leave out, and drops a new one as soon as a pattern leaves it out", async () => {
    await commit({ "kept.log": "one" });
    await writeFile(join(project, "new.txt"), "one");
    await snapshot();
    await writeFile(join(project, ".gitignore"), "*.log\nnew.txt\n");
    const target = await checkOut(await snapshot());
    expect(await git(["-C", target, "ls-files"])).toBe(".gitignore\nkept.log\n");
  });

  it("holds the files that a sparse checkout left in the repository", async () => {
    await mkdir(join(project, "in"));
    await mkdir(join(project, "out"));
    await commit({ "in/a.txt": "one", "out/b.txt": "two" });
    await git(["sparse-checkout", "set", "in"]);
    expect((await snapshot()).hasUncommittedChanges).toBe(false);
    await writeFile(join(project, "in/a.txt"), "changed");
    const target = await checkOut(await snapshot());
    expect(await git(["-C", target, "ls-files"])).toBe("in/a.txt\nout/b.txt\n");
    expect(await readFile(join(target, "in/a.txt"), "utf8")).toBe("changed");
    await git(["sparse-checkout", "disable"]);
    await rm(join(project, "out/b.txt"));
    const whole = await checkOut(await snapshot());
    expect(await git(["-C", whole, "ls-files"])).toBe("in/a.txt\n");
  });

  it("leaves out a repository without commits, and says so", async () => {
    await commit({ "a.txt": "one" });
    await git(["init", "--quiet", "in"]);
    await git(["init", "--quiet", "one/in two"]);
    await writeFile(join(project, "b.txt"), "one");
    const taken = await snapshot();
    expect(taken.warnings).toEqual([
      "in is a repository without commits: the jobs do not get it.",
      "one/in two is a repository without commits: the jobs do not get it.",
    ]);
    const target = await checkOut(taken);
    expect(await git(["-C", target, "ls-files"])).toBe("a.txt\nb.txt\n");
  });

  it.each(["garbage", ""])(
    "makes the index anew when it holds '%s', and removes the lock of a killed run",
    async (text) => {
      await commit({ "a.txt": "one" });
      await snapshot();
      await writeFile(join(project, ".fleetfoot/sources.git/index"), text);
      await writeFile(join(project, ".fleetfoot/sources.git/index.lock"), "");
      await writeFile(join(project, "b.txt"), "two");
      const target = await checkOut(await snapshot());
      expect(await git(["-C", target, "ls-files"])).toBe("a.txt\nb.txt\n");
    },
  );

  it("is the same commit when it is taken twice", async () => {
    await commit({ "a.txt": "one" });
    await writeFile(join(project, "a.txt"), "changed");
    expect((await snapshot()).sha).toBe((await snapshot()).sha);
  });

  it("knows the blob of a file and that there is none", async () => {
    await commit({ "a.txt": "lock-a\n" });
    const taken = await snapshot();
    expect(await taken.blobIdOf("a.txt")).toBe("9e9d7861c693f8d469f0028aa9a97324f280eb56");
    expect(await taken.blobIdOf("missing.txt")).toBeUndefined();
  });

  it("says what to do when there is no git", async () => {
    const without = createGit(project, { PATH: folder }, new AbortController().signal);
    await expect(readProject(project, without)).rejects.toThrow(UsageError);
    await expect(readProject(project, without)).rejects.toMatchObject({ cure: expect.stringContaining("Install git") });
  });
});
