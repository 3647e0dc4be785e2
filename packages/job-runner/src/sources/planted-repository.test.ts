import { lstat, mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

import type { JobPayload } from "@fleetfoot/coordinator-client";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { createRepository } from "../test-support/git-repository.ts";
import { helloJob, openHarness, plain, script } from "../test-support/job-harness.ts";
import type { Harness } from "../test-support/job-harness.ts";

describe("what a job has put in the place of its repository", () => {
  let harness: Harness;
  let payload: JobPayload;
  let outside: string;
  let project: string;
  beforeEach(async () => {
    harness = await openHarness();
    const { url, commit } = await createRepository(join(harness.root, "origin"));
    const sha = await commit({ file: "content" });
    const base = helloJob();
    payload = {
      ...base,
      allow_git_fetch: true,
      git_info: { ...base.git_info, repo_url: url, sha, refspecs: ["+refs/heads/*:refs/remotes/origin/*"] },
      variables: base.variables.filter(({ key }) => key !== "GIT_STRATEGY"),
    };
    project = join(harness.root, "builds", "AbCdEfGhI", "0", "project-1");
    outside = join(harness.root, "outside");
    await mkdir(outside);
    await writeFile(join(outside, "config"), "precious\n");
    await writeFile(join(outside, "index.lock"), "precious");
  });
  afterEach(() => harness.dispose());

  async function run(lines: string): Promise<string> {
    const { result, log } = await harness.run({ ...payload, steps: script(lines) });
    expect(result.outcome, plain(log)).toBe("success");
    return plain(log);
  }

  it.each([
    { what: "its settings, a link", plant: "ln -sf $OUTSIDE/config .git/config" },
    { what: "its settings, a pipe", plant: "rm .git/config; mkfifo .git/config" },
    { what: "its references, a link", plant: "rm -rf .git/refs; ln -s $OUTSIDE .git/refs" },
    { what: "its objects, a link", plant: "rm -rf .git/objects; ln -s $OUTSIDE .git/objects" },
    { what: "all of it, a link", plant: "rm -rf .git; ln -s $OUTSIDE .git" },
    { what: "all of it, a file", plant: "rm -rf .git; echo gitdir: $OUTSIDE > .git" },
    {
      what: "the settings of a submodule, a link",
      plant: "mkdir -p .git/modules/a; cp .git/HEAD .git/modules/a; ln -s $OUTSIDE/config .git/modules/a/config",
    },
  ])("is neither followed nor waited for, but made anew: $what", async ({ plant }) => {
    expect(await run(plant.replaceAll("$OUTSIDE", outside))).toContain("made anew");
    await run("cat file");
    expect((await readdir(outside)).toSorted()).toEqual(["config", "index.lock"]);
    expect(await readFile(join(outside, "config"), "utf8")).toBe("precious\n");
    expect((await lstat(join(project, ".git"))).isDirectory()).toBe(true);
    expect((await lstat(join(project, ".git/config"))).isFile()).toBe(true);
    expect(await run("cat file")).not.toContain("made anew");
  });
});
