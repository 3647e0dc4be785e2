import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { PreparedJob } from "../job-context.ts";
import { collectFiles, literalPrefix } from "./collect-files.ts";

describe("the plain part of a pattern", () => {
  it.each([
    ["dist", "dist"],
    ["dist/", "dist"],
    ["dist/*.js", "dist"],
    ["a/b?/c", "a"],
    ["**/*.log", ""],
    ["./$NAME/x", "named/x"],
    ["/host/project/out", "out"],
    ["../other", undefined],
    ["/etc", undefined],
    ["", undefined],
  ])("of %s is %s", (pattern, prefix) => {
    expect(literalPrefix(pattern, "/host/project", { NAME: "named" })).toBe(prefix);
  });
});

describe("collecting", () => {
  async function collected(wanted: Parameters<typeof collectFiles>[1], isolated = true): Promise<readonly unknown[]> {
    const host = await mkdtemp(join(tmpdir(), "collect-"));
    const calls: unknown[] = [];
    const directories = (root: string): object => ({
      builds: root,
      project: `${root}/p`,
      temporary: `${root}/p.tmp`,
      cache: `${root}/cache`,
    });
    const workspace = {
      isolated,
      directories: directories(host),
      collect: async ({ paths }: { readonly paths?: readonly string[] }) => void calls.push(paths ?? "all"),
    };
    const job = {
      environment: { workspace },
      plan: { directories: directories("/builds") },
      variables: { exported: new Map([["CI_PROJECT_DIR", "/builds/p"]]) },
      signals: { job: new AbortController().signal },
    } as unknown as PreparedJob;
    await collectFiles(job, wanted);
    await rm(host, { recursive: true });
    return calls;
  }

  it("brings only what is named, by paths of the scripts as well, and nothing twice", async () => {
    const wanted = [{ paths: ["dist/*.js", "dist/a/b"] }, { paths: ["$CI_PROJECT_DIR/out", "/builds/p/log/x.txt"] }];
    expect(await collected(wanted)).toEqual([[], ["dist", "out", "log/x.txt"]]);
  });

  it("brings everything where nobody can tell, or where scripts see the same files", async () => {
    expect(await collected([{ paths: ["**/*.log"] }])).toEqual([[], "all"]);
    expect(await collected([{ untracked: true }])).toEqual([[], "all"]);
    expect(await collected([{ paths: ["dist"] }], false)).toEqual(["all"]);
  });
});
