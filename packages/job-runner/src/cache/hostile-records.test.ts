import { lstat, mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import type { JobCache } from "@fleetfoot/coordinator-client";

import { openKeptCopy } from "../test-support/kept-copy.ts";
import type { KeptCopy } from "../test-support/kept-copy.ts";

const UNCHANGED = "the files of the job before are unchanged";
const gems: JobCache = { key: "gems", paths: ["vendor/"] };

describe("a link that a job put where the runner remembers caches", () => {
  let copy: KeptCopy;
  beforeEach(async () => {
    copy = await openKeptCopy({ ".gitignore": "vendor/\n" });
    await mkdir(join(copy.outside, "vendor"));
    await writeFile(join(copy.outside, "file"), "precious");
    await run("mkdir vendor; echo lib > vendor/lib");
  });
  afterEach(() => copy.dispose());

  const run = (lines: string, cache: readonly JobCache[] = [gems]): Promise<string> => copy.run(lines, { cache });

  it.each([
    { what: "with the record's name", lines: (file: string) => `ln -sf ${file} .git/fleetfoot-restored` },
    { what: "that is a second name of a file", lines: (file: string) => `ln -f ${file} .git/fleetfoot-restored` },
    { what: "with the name of a new record", lines: (file: string) => `ln -s ${file} .git/fleetfoot-restored.new` },
    { what: "in the place of a pipe", lines: () => "rm -f .git/fleetfoot-restored; mkfifo .git/fleetfoot-restored" },
  ])("$what is replaced, and what it leads to is not written to", async ({ lines }) => {
    await run(lines(join(copy.outside, "file")));
    await run("cat vendor/lib");
    expect(await run("cat vendor/lib")).toContain(UNCHANGED);
    expect(await readFile(join(copy.outside, "file"), "utf8")).toBe("precious");
    expect((await lstat(join(copy.project, ".git/fleetfoot-restored"))).isFile()).toBe(true);
  });

  it("is replaced when it comes from an archive, too", async () => {
    const record: JobCache = { key: "record", paths: [".git/fleetfoot-restored"] };
    await run(`ln -sf ${join(copy.outside, "file")} .git/fleetfoot-restored`, [record]);
    expect(await run("true", [gems, record])).toContain("Restored cache record");
    expect(await readFile(join(copy.outside, "file"), "utf8")).toBe("precious");
    expect((await lstat(join(copy.project, ".git/fleetfoot-restored"))).isFile()).toBe(true);
  });

  it.each([
    { what: "wants the cache", cache: [gems] },
    { what: "does not want it", cache: [] },
  ])("in the place of the repository's folder gets nothing from a job that $what", async ({ cache }) => {
    await run("cat vendor/lib");
    const repository = join(copy.harness.root, "repository");
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
    await run(`cd .git/fleetfoot-aside; name=$(ls); rm -r "$name"; ln -s ${copy.outside} "$name"`, []);
    expect(await run("cat vendor/lib")).not.toContain(UNCHANGED);
    expect((await readdir(copy.outside)).sort()).toEqual(["file", "vendor"]);
  });
});
