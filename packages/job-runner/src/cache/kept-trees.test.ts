import { mkdir, readFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import type { JobPayload, JobVariable } from "@fleetfoot/coordinator-client";

import { CacheBench } from "../test-support/cache-bench.ts";
import { createRepository } from "../test-support/git-repository.ts";
import type { GitRepository } from "../test-support/git-repository.ts";
import { helloJob, openHarness, plain, script } from "../test-support/job-harness.ts";
import type { Harness } from "../test-support/job-harness.ts";
import { realArchiver } from "./archiver.ts";
import { KeptTrees } from "./kept-trees.ts";
import type { CacheArchiver } from "./types.ts";

const harnessLog = { warning: (text: string): never => expect.fail(text) };
const UNCHANGED = "the files of the job before are unchanged";

describe("a cache that the working copy holds already", () => {
  let harness: Harness;
  let repository: GitRepository;
  let sha: string;
  beforeEach(async () => {
    harness = await openHarness();
    repository = await createRepository(join(harness.root, "origin"));
    sha = await repository.commit({ "a.txt": "one", ".gitignore": "vendor/\n" });
    await harness.run(job("mkdir vendor; echo lib > vendor/lib; ln -s lib vendor/link"));
    await harness.run(job("cat vendor/lib"));
  });
  afterEach(() => harness.dispose());

  function job(lines: string, changes: Partial<JobPayload> = {}, variables: readonly JobVariable[] = []): JobPayload {
    const base = helloJob();
    return {
      ...base,
      allow_git_fetch: true,
      git_info: { ...base.git_info, repo_url: repository.url, sha, refspecs: ["+refs/heads/*:refs/remotes/origin/*"] },
      variables: [...base.variables.filter(({ key }) => key !== "GIT_STRATEGY"), ...variables],
      cache: [{ key: "gems", paths: ["vendor/"] }],
      steps: script(lines),
      ...changes,
    };
  }
  const vendor = (name = ""): string => join(harness.root, "builds", "AbCdEfGhI", "0", "project-1", "vendor", name);

  it("is not written again", async () => {
    const { ino } = await stat(vendor("lib"));
    const run = await harness.run(job("cat vendor/lib vendor/link"));
    expect(plain(run.log)).toContain(UNCHANGED);
    expect(plain(run.log)).toContain("lib\nlib\n");
    expect((await stat(vendor("lib"))).ino).toBe(ino);
  });

  it("lets a new commit be checked out all the same", async () => {
    sha = await repository.commit({ "a.txt": "two" });
    const run = await harness.run(job("cat a.txt vendor/lib"));
    expect(plain(run.log)).toContain(UNCHANGED);
    expect(plain(run.log)).toContain("twolib\n");
  });

  it.each([
    { what: "changed", lines: "echo other > vendor/lib" },
    {
      what: "changed without a trace in its times",
      lines: "touch -r vendor/lib t; printf bil > vendor/lib; touch -r t vendor/lib",
    },
    { what: "added", lines: "touch vendor/extra" },
    { what: "removed", lines: "rm vendor/lib" },
    { what: "made executable", lines: "chmod +x vendor/lib" },
    { what: "turned into a link", lines: "ln -sf /etc/passwd vendor/lib" },
  ])("is restored from its archive when a file was $what", async ({ lines }) => {
    await harness.run(job(lines, { cache: [{ key: "gems", paths: ["vendor/"], policy: "pull" }] }));
    const run = await harness.run(job("true"));
    expect(plain(run.log)).not.toContain(UNCHANGED);
    expect((await readdir(vendor())).sort()).toEqual(["lib", "link"]);
    expect(await readFile(vendor("lib"), "utf8")).toBe("lib\n");
    expect((await stat(vendor("lib"))).mode & 0o777).toBe(0o644);
  });

  it("is restored anew when somebody else saved another archive", async () => {
    const archive = join(harness.root, "cache", "project-1", "gems", "cache.zip");
    await writeFile(archive, await readFile(archive));
    const run = await harness.run(job("cat vendor/lib"));
    expect(plain(run.log)).not.toContain(UNCHANGED);
    expect(plain(run.log)).toContain("lib\n");
  });

  it.each([
    { what: "that does not want it", changes: { cache: [] } },
    { what: "whose key has no archive", changes: { cache: [{ key: "other", paths: ["vendor/"] }] } },
    { what: "that only saves it", changes: { cache: [{ key: "gems", paths: ["vendor/"], policy: "push" }] } },
  ])("is gone for a job $what", async ({ changes }) => {
    const run = await harness.run(job("test ! -e vendor && echo gone", changes));
    expect(plain(run.log)).toContain("\ngone\n");
    expect(run.result.outcome).toBe("success");
  });

  it("waits aside while jobs do not want it, and is not written again for the next one that does", async () => {
    const { ino } = await stat(vendor("lib"));
    for (let jobs = 0; jobs < 2; jobs += 1) await harness.run(job("test ! -e vendor", { cache: [] }));
    const run = await harness.run(job("cat vendor/lib vendor/link"));
    expect(plain(run.log)).toContain(UNCHANGED);
    expect((await stat(vendor("lib"))).ino).toBe(ino);
  });

  it("leaves the folder to the job in between, with what the repository has in it", async () => {
    sha = await repository.commit({ "vendor/tracked": "tracked", ".gitignore": "" });
    await harness.run(job("true"));
    const between = await harness.run(job("ls vendor", { cache: [] }));
    expect(plain(between.log)).toContain("\ntracked\n");
    expect(plain(between.log)).not.toContain("\nlib\n");
    const run = await harness.run(job("cat vendor/tracked vendor/lib"));
    expect(plain(run.log)).toContain("trackedlib\n");
  });

  it("is restored anew when the job in between made a folder of its own there, of which nothing stays", async () => {
    await harness.run(job("mkdir vendor; echo own > vendor/own", { cache: [] }));
    const run = await harness.run(job("true"));
    expect(plain(run.log)).not.toContain(UNCHANGED);
    expect((await readdir(vendor())).sort()).toEqual(["lib", "link"]);
  });

  it("is restored anew when it was changed aside", async () => {
    await harness.run(job("true", { cache: [] }));
    await harness.run(job("echo other > .git/fleetfoot-aside/*/vendor/lib", { cache: [] }));
    await harness.run(job("true"));
    expect(await readFile(vendor("lib"), "utf8")).toBe("lib\n");
  });

  it("does not go where a job's link leads, and nothing there is removed", async () => {
    const outside = join(harness.root, "outside");
    await mkdir(outside);
    await writeFile(join(outside, "file"), "");
    await harness.run(job(`ln -s ${outside} .git/fleetfoot-aside`));
    await harness.run(job("test ! -e vendor", { cache: [] }));
    await harness.run(job("cat vendor/lib"));
    expect(await readdir(outside)).toEqual(["file"]);
  });

  it("is given up when many jobs in a row did not want it, as is what nobody has a record of", async () => {
    const project = dirname(vendor());
    const aside = join(project, ".git/fleetfoot-aside");
    await mkdir(join(aside, "left-by-a-crash"), { recursive: true });
    for (let jobs = 1; jobs <= 16; jobs += 1) {
      await new KeptTrees(project, jobs, harnessLog).choose([]);
      expect(await readdir(aside)).toEqual([expect.stringMatching(/^[0-9a-f]{16}$/)]);
    }
    await new KeptTrees(project, 17, harnessLog).choose([]);
    expect(await readdir(aside)).toEqual([]);
  });

  it("is gone when its archive is", async () => {
    await rm(join(harness.root, "cache"), { recursive: true });
    const run = await harness.run(job("test ! -e vendor && echo gone"));
    expect(plain(run.log)).toContain("\ngone\n");
  });

  it.each(["null", "{}", '{"trees":5}', '{"trees":[null,{"paths":["../x"],"archive":"","digest":""}]}', "no JSON"])(
    "is restored anew when a job wrote %s where it is remembered",
    async (text) => {
      await harness.run(job(`printf '%s' '${text}' > .git/fleetfoot-restored`));
      const run = await harness.run(job("cat vendor/lib"));
      expect(run.result.outcome).toBe("success");
      expect(plain(run.log)).not.toContain(UNCHANGED);
    },
  );

  it("is cleaned away by a job's own flags", async () => {
    const run = await harness.run(job("true", {}, [{ key: "GIT_CLEAN_FLAGS", value: "-ffdx" }]));
    expect(plain(run.log)).not.toContain(UNCHANGED);
    expect(await readFile(vendor("lib"), "utf8")).toBe("lib\n");
  });
});

describe("the look at a cache that the working copy holds already", () => {
  let bench: CacheBench;
  beforeEach(async () => {
    bench = await CacheBench.open();
  });
  afterEach(() => bench.close());

  it("is the archiver's, and ends when the job is aborted", async () => {
    const vendor = { key: "vendor", paths: ["vendor"] };
    await bench.write({ "vendor/lib": "lib", ".git/HEAD": "" });
    await bench.save(vendor);
    bench.extra = { keptTrees: new KeptTrees(bench.project, 1, harnessLog) };
    await bench.restore(vendor);
    const keptTrees = new KeptTrees(bench.project, 2, harnessLog);
    expect(await keptTrees.choose([vendor])).toEqual(["vendor"]);

    const [abort, reason] = [new AbortController(), new Error("cancelled")];
    const compareTree: CacheArchiver["compareTree"] = async (options) => {
      abort.abort(reason);
      return realArchiver.compareTree(options);
    };
    bench.extra = { keptTrees, signal: abort.signal, archiver: { ...realArchiver, compareTree } };
    await expect(bench.restore(vendor)).rejects.toBe(reason);
  });
});
