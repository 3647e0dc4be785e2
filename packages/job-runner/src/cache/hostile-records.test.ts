import { lstat, mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import type { JobCache, JobPayload } from "@fleetfoot/coordinator-client";

import { createRepository } from "../test-support/git-repository.ts";
import { helloJob, openHarness, plain, script } from "../test-support/job-harness.ts";
import type { Harness } from "../test-support/job-harness.ts";

const UNCHANGED = "the files of the job before are unchanged";
const gems: JobCache = { key: "gems", paths: ["vendor/"] };

describe("a link that a job put where the runner remembers caches", () => {
  let harness: Harness;
  let payload: JobPayload;
  let outside: string;
  let project: string;
  beforeEach(async () => {
    harness = await openHarness();
    const { url, commit } = await createRepository(join(harness.root, "origin"));
    const sha = await commit({ ".gitignore": "vendor/\n" });
    const base = helloJob();
    payload = {
      ...base,
      allow_git_fetch: true,
      git_info: { ...base.git_info, repo_url: url, sha, refspecs: ["+refs/heads/*:refs/remotes/origin/*"] },
      variables: base.variables.filter(({ key }) => key !== "GIT_STRATEGY"),
    };
    project = join(harness.root, "builds", "AbCdEfGhI", "0", "project-1");
    outside = join(harness.root, "outside");
    await mkdir(join(outside, "vendor"), { recursive: true });
    await writeFile(join(outside, "file"), "precious");
    await run("mkdir vendor; echo lib > vendor/lib");
  });
  afterEach(() => harness.dispose());

  async function run(lines: string, cache: readonly JobCache[] = [gems]): Promise<string> {
    const { result, log } = await harness.run({ ...payload, cache, steps: script(lines) });
    expect(result.outcome, plain(log)).toBe("success");
    return plain(log);
  }

  it.each([
    { what: "with the record's name", lines: (file: string) => `ln -sf ${file} .git/fleetfoot-restored` },
    { what: "that is a second name of a file", lines: (file: string) => `ln -f ${file} .git/fleetfoot-restored` },
    { what: "with the name of a new record", lines: (file: string) => `ln -s ${file} .git/fleetfoot-restored.new` },
    { what: "in the place of a pipe", lines: () => "rm -f .git/fleetfoot-restored; mkfifo .git/fleetfoot-restored" },
  ])("$what is replaced, and what it leads to is not written to", async ({ lines }) => {
    await run(lines(join(outside, "file")));
    await run("cat vendor/lib");
    expect(await run("cat vendor/lib")).toContain(UNCHANGED);
    expect(await readFile(join(outside, "file"), "utf8")).toBe("precious");
    expect((await lstat(join(project, ".git/fleetfoot-restored"))).isFile()).toBe(true);
  });

  it("is replaced when it comes from an archive, too", async () => {
    const record: JobCache = { key: "record", paths: [".git/fleetfoot-restored"] };
    await run(`ln -sf ${join(outside, "file")} .git/fleetfoot-restored`, [record]);
    expect(await run("true", [gems, record])).toContain("Restored cache record");
    expect(await readFile(join(outside, "file"), "utf8")).toBe("precious");
    expect((await lstat(join(project, ".git/fleetfoot-restored"))).isFile()).toBe(true);
  });

  it.each([
    { what: "wants the cache", cache: [gems] },
    { what: "does not want it", cache: [] },
  ])("in the place of the repository's folder gets nothing from a job that $what", async ({ cache }) => {
    await run("cat vendor/lib");
    const repository = join(harness.root, "repository");
    await run(`mv .git ${repository}; ln -s ${repository} .git`);
    const before = await readFile(join(repository, "fleetfoot-restored"), "utf8");
    expect(await run("true", cache)).not.toContain(UNCHANGED);
    expect(await readFile(join(repository, "fleetfoot-restored"), "utf8")).toBe(before);
    expect((await readdir(repository)).filter((name) => name.startsWith("fleetfoot-")).sort()).toEqual([
      "fleetfoot-fetched",
      "fleetfoot-restored",
    ]);
  });

  it("in the place of a cache that waits aside does not bring what it leads to into the working copy", async () => {
    await run("cat vendor/lib");
    await run(`cd .git/fleetfoot-aside; name=$(ls); rm -r "$name"; ln -s ${outside} "$name"`, []);
    expect(await run("cat vendor/lib")).not.toContain(UNCHANGED);
    expect((await readdir(outside)).sort()).toEqual(["file", "vendor"]);
  });
});
