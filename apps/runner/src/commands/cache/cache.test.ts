import { mkdir, mkdtemp, readFile, readdir, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { runCli } from "../../cli.ts";
import { testContext } from "../../testing/context.ts";

let project: string;
beforeEach(async () => {
  project = await mkdtemp(join(tmpdir(), "cache-commands-"));
  await mkdir(join(project, "deps"));
  await writeFile(join(project, "deps/lib"), "lib");
  await writeFile(join(project, "deps/notes.log"), "log");
});
afterEach(async () => {
  vi.useRealTimers();
  await rm(project, { recursive: true });
});

async function cache(...words: string[]): Promise<{ code: number; printed: string; complained: string }> {
  const context = testContext({ workingDirectory: project });
  const code = await runCli(["cache", ...words], context);
  return { code, printed: context.printed(), complained: context.complained() };
}

const deps = ["--key", "deps", "--path", "deps"];

describe("fleetfoot cache", () => {
  it("creates a cache once, and restores it", async () => {
    expect((await cache("create", ...deps, "--exclude", "**/*.log")).printed).toMatch(/Saved cache deps: 2 entries/);
    expect((await cache("create", ...deps, "--exclude", "**/*.log")).printed).toContain("Cache deps is unchanged");
    await rm(join(project, "deps"), { recursive: true });
    const restored = await cache("restore", ...deps, "--fail-on-miss");
    expect([restored.code, restored.complained]).toEqual([0, ""]);
    expect(await readFile(join(project, "deps/lib"), "utf8")).toBe("lib");
    expect((await readdir(project)).toSorted()).toEqual([".fleetfoot", "deps"]);
  });

  it("restores from a fallback key, and says that there is nothing", async () => {
    await cache("create", ...deps);
    const fallback = await cache("restore", "--key", "new", "--fallback-key", "deps", "--path", "deps");
    expect(fallback.printed).toContain("Restored cache deps");
    expect(await cache("restore", "--key", "new", "--path", "deps")).toMatchObject({ code: 0 });
    const missed = await cache("restore", "--key", "new", "--path", "deps", "--fail-on-miss");
    expect(missed).toMatchObject({ code: 1, printed: expect.stringContaining("No cache for new") });
  });

  it("ends with 1 when there is a cache that cannot be restored", async () => {
    await cache("create", ...deps);
    await rm(join(project, "deps"), { recursive: true });
    await writeFile(join(project, "deps"), "in the way");
    const { code, printed, complained } = await cache("restore", ...deps);
    expect({ code, printed }).toEqual({ code: 1, printed: "No usable cache for deps, going on without\n" });
    expect(complained).toContain("a file is in the place of a folder");
    expect(await readFile(join(project, "deps"), "utf8")).toBe("in the way");
    await cache("create", "--key", "other", "--path", "deps");
    expect(await cache("restore", ...deps, "--fallback-key", "other")).toMatchObject({ code: 0 });
  });

  it.each(["create", "restore"])(
    "says what becomes of the cache when %s is ended by a second signal",
    async (command) => {
      const context = testContext({ workingDirectory: project });
      const said: string[] = [];
      let listening = 0;
      const onAbandon = (callback: () => string): (() => void) => {
        said.push(callback());
        listening += 1;
        return () => (listening -= 1);
      };
      await runCli(["cache", command, ...deps], { ...context, stop: { ...context.stop, onAbandon } });
      expect(said).toEqual([expect.stringMatching(/^The cache is not (saved everywhere|restored); /)]);
      expect(listening).toBe(0);
    },
  );

  it("shows control characters in names, and does not send them to the terminal", async () => {
    const key = "a\nb\u001B[31m-1-protected";
    const shown = String.raw`project-1/a\x0ab\x1b[31m-1-protected`;
    await cache("create", "--key", key, "--path", "deps");
    expect((await cache("ls")).printed).toMatch(/^\S+ +\d+ B +used .* ago\n$/);
    expect((await cache("ls")).printed).toContain(shown);
    expect(JSON.parse((await cache("ls", "--json")).printed)).toMatchObject([{ name: `project-1/${key}` }]);
    expect((await cache("inspect", key)).complained).toContain(`Perhaps ${shown} is meant`);
    const inspected = (await cache("inspect", `project-1/${key}`)).printed;
    expect(inspected).toContain(`/caches/${shown}/cache.zip\n`);
    expect((await cache("restore", "--key", "a\nb\u001B[31m", "--path", "deps")).complained).toContain(
      String.raw`a\x0ab\x1b[31m-1-protected`,
    );
    expect((await cache("prune", "--max-size", "1b", "--dry-run")).printed).toContain(`would remove ${shown} (`);
    expect((await cache("rm", `project-1/${key}`)).printed).toBe(`removed ${shown}\n`);
  });

  it("leaves a cache that is there as it is when asked to", async () => {
    await cache("create", ...deps);
    await writeFile(join(project, "deps/lib"), "other");
    expect((await cache("create", ...deps, "--if-absent")).printed).toContain("Not saving cache deps");
  });

  it.each([
    { where: "a folder in the project", words: ["--cache-dir", "deps/caches"] },
    { where: "a folder with characters of patterns and of shells", words: ["--cache-dir", "deps/{a,b}*[$HOME]"] },
    { where: "the project's .fleetfoot", words: [] },
  ])("leaves itself and other caches out when they are kept in $where", async ({ words }) => {
    const order = ["--key", "all", "--path", ".", ...words];
    await cache("create", "--key", "other", "--path", "deps/notes.log", ...words);
    const { printed } = await cache("create", ...order);
    expect(printed).toMatch(/^Left out of cache all, .*\nSaved cache all: 4 entries/);
    expect((await cache("create", ...order)).printed).toContain("is unchanged");
    await rm(join(project, "deps/lib"));
    expect((await cache("create", ...order)).printed).toContain("Saved cache all: 3 entries");
  });

  it("says nothing of its own places when no file there was meant", async () => {
    const { printed } = await cache("create", "--key", "k", "--path", "deps", "--cache-dir", ".");
    expect(printed).toMatch(/^Saved cache k: 3 entries[^\n]*\n$/);
  });

  it.each([
    { what: "the project", words: ["--key", "k", "--path", ".", "--cache-dir", "."] },
    {
      what: "the folder around it",
      words: ["--key", "deps", "--path", ".", "--directory", "deps", "--cache-dir", "."],
    },
    { what: "a folder of the project", words: ["--key", "deps", "--path", "deps/**", "--cache-dir", "."] },
  ])("refuses to keep the cache in $what, where it would lie among its files", async ({ words }) => {
    const { code, complained } = await cache("create", ...words);
    expect(code).toBe(1);
    expect(complained).toContain("the archive would lie among the files that it saves");
    expect(await readdir(project, { recursive: true })).not.toContainEqual(expect.stringMatching(/cache\.zip$/));
  });

  it("finds the caches of local runs, and of a runner's directory", async () => {
    await cache("create", ...deps);
    await cache("create", ...deps, "--cache-dir", "host", "--project", "group/app");
    expect((await cache("ls")).printed).toMatch(/^project-1\/deps +\d+ B +used .* ago\n$/);
    expect(JSON.parse((await cache("ls", "--json", "--cache-dir", "host", "group/")).printed)).toMatchObject([
      { name: "group/app/deps", bytes: expect.any(Number) },
    ]);
    expect((await cache("ls", "--cache-dir", "host", "other/")).complained).toContain("0 caches, 0 B, in");
  });

  it("shows what is known of a cache or of any archive", async () => {
    await cache("create", ...deps);
    const { printed } = await cache("inspect", "project-1/deps", "--json");
    const facts = JSON.parse(printed);
    expect(facts).toMatchObject({ format: "zip", metadata: { cachekey: "deps" } });
    expect((await cache("inspect", facts.path)).printed).toContain("format:      zip");
    expect((await cache("inspect", "nothing")).complained).toContain("neither a cache nothing in");
    expect((await cache("inspect", "deps")).complained).toContain("Perhaps project-1/deps is meant");
    expect((await cache("inspect", "deps/lib")).complained).toContain("is no archive");
  });

  it("knows what coordinators append to a key", async () => {
    for (const key of ["k-2-protected", "k-non_protected", "k-other"])
      await cache("create", "--key", key, "--path", "deps");
    const whole = "project-1/k-2-protected, project-1/k-non_protected";
    expect((await cache("inspect", "k")).complained).toContain(`Perhaps ${whole} is meant`);
    const { code, complained } = await cache("restore", "--key", "k", "--path", "deps");
    expect(code).toBe(0);
    expect(complained).toBe("Jobs have saved k-2-protected, k-non_protected; --key takes the whole key.\n");
    expect((await cache("restore", "--key", "none", "--path", "deps")).complained).toBe("");
  });

  it("removes by name all or nothing, and leaves no empty folder", async () => {
    await cache("create", ...deps);
    await cache("create", "--key", "a/b", "--path", "deps");
    const refused = await cache("rm", "project-1/deps", "project-1/absent");
    expect([refused.code, refused.complained]).toEqual([1, expect.stringContaining("project-1/absent")]);
    expect((await cache("rm", "b")).complained).toContain("Perhaps project-1/a/b is meant");
    expect((await cache("rm", "project-1/deps", "project-1/a/b")).code).toBe(0);
    expect(await readdir(join(project, ".fleetfoot/caches"))).toEqual([]);
  });

  it("prunes what was not used for long, after saying so", async () => {
    await cache("create", ...deps);
    await cache("create", "--key", "big", "--path", "deps");
    const all = ["--max-size", "1b"];
    expect((await cache("prune", ...all, "--dry-run")).printed).toContain("would remove project-1/deps");
    expect((await cache("prune", "--older-than", "1h")).complained).toContain("0 of 2 caches");
    expect((await cache("prune", ...all)).printed.match(/^removed /gm)).toHaveLength(2);
    expect((await cache("ls")).complained).toContain("0 caches");
  });

  it("prunes what killed processes left a day ago, whatever the limits", async () => {
    await cache("create", ...deps);
    const left = join(project, ".fleetfoot/caches/project-1/gone/archive_00000000-0000-4000-8000-000000000000");
    await mkdir(dirname(left));
    await writeFile(left, "half");
    expect(await cache("prune", "--older-than", "1h")).toMatchObject({ code: 0, printed: "" });
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 25 * 3_600_000 });
    const dry = await cache("prune", "--older-than", "90d", "--dry-run");
    expect(dry.printed).toBe("would remove 1 file of killed processes (4 B)\n");
    expect((await cache("prune", "--older-than", "90d")).printed).toBe("removed 1 file of killed processes (4 B)\n");
    expect(await readdir(join(project, ".fleetfoot/caches/project-1"))).toEqual(["deps"]);
  });

  it("counts a restore as use", async () => {
    await cache("create", ...deps);
    const path = join(project, ".fleetfoot/caches/project-1/deps/cache.zip");
    await utimes(path, 0, 0);
    await cache("restore", ...deps);
    expect((await stat(path)).atimeMs).toBeGreaterThan(0);
  });

  it("lets the next local run begin without caches", async () => {
    expect((await cache("clear")).printed).toContain("end in -1 from now on");
    expect((await cache("clear")).printed).toContain("end in -2 from now on");
  });

  it.each([
    { words: ["create"], says: "needs a key" },
    { words: ["create", "--key", "", "--path", "deps"], says: "needs a key" },
    { words: ["create", "--key", "k"], says: "needs files" },
    { words: ["create", ...deps, "-C", "nowhere"], says: "There is no folder" },
    { words: ["create", ...deps, "--config", "nowhere.toml"], says: "There is no configuration in" },
    { words: ["prune"], says: "needs a limit" },
    { words: ["prune", "--older-than", "soon"], says: "--older-than soon cannot be understood" },
    { words: ["prune", "--max-size", "10"], says: "--max-size 10 cannot be understood" },
    { words: ["rm"], says: "needs a name" },
    { words: ["inspect"], says: "needs one name" },
    { words: [], says: "needs a command" },
  ])("says what is missing in $words", async ({ words, says }) => {
    const { code, complained } = await cache(...words);
    expect([code, complained]).toEqual([1, expect.stringContaining(says)]);
  });
});
