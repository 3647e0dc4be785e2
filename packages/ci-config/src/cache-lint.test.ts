import { describe, expect, it } from "vitest";
import type { Problem } from "./pipeline.ts";
import { resolvePipeline } from "./resolve-pipeline.ts";

async function lint(text: string): Promise<readonly Problem[]> {
  const { warnings, errors } = await resolvePipeline({
    file: "ci.yml",
    readFile: async () => text,
    variables: { CI_COMMIT_BRANCH: "main" },
  });
  expect(errors).toEqual([]);
  return warnings;
}

describe("two cache entries of one key", () => {
  it("CA A27, CA H19: with different paths give one warning that names both entries", async () => {
    expect(await lint("a:\n  script: x\n  cache:\n    - {key: k, paths: [a]}\n    - {key: k, paths: [b]}\n")).toEqual([
      {
        file: "ci.yml",
        line: 5,
        code: "cache-paths-differ",
        message:
          "the cache key k is used with different paths by entry 1 of job a (line 4, paths a) and entry 2 of job a (line 5, paths b): each save replaces the other's archive; use different keys",
      },
    ]);
  });

  it("CA A27: with the same paths give none", async () => {
    expect(await lint("a:\n  script: x\n  cache:\n    - {key: k, paths: [a]}\n    - {key: k, paths: [a]}\n")).toEqual(
      [],
    );
  });

  it.each([
    ["in two jobs", "a: {script: x, cache: {key: k, paths: [a]}}\nb: {script: x, cache: {key: k, paths: [b]}}\n", 1],
    [
      "in jobs that never run together",
      "a: {script: x, cache: {key: k, paths: [a]}, rules: [{if: $A}]}\nb: {script: x, cache: {key: k, paths: [b]}}\n",
      1,
    ],
    ["without a key", "a: {script: x, cache: {paths: [a]}}\nb: {script: x, cache: {paths: [b]}}\n", 1],
    [
      "with the same paths in another order",
      "a: {script: x, cache: {key: k, paths: [a, b]}}\nb: {script: x, cache: {key: k, paths: [b, a]}}\n",
      0,
    ],
    [
      "where one only pulls",
      "a: {script: x, cache: {key: k, paths: [a]}}\nb: {script: x, cache: {key: k, paths: [b], policy: pull}}\n",
      0,
    ],
    [
      "where only one is unprotected",
      "a: {script: x, cache: {key: k, paths: [a]}}\nb: {script: x, cache: {key: k, paths: [b], unprotect: true}}\n",
      0,
    ],
    [
      "that name the job",
      "a: {script: x, cache: {key: $CI_JOB_NAME, paths: [a]}}\nb: {script: x, cache: {key: $CI_JOB_NAME, paths: [b]}}\n",
      0,
    ],
    [
      "that are equal only after expansion",
      "a: {script: x, cache: {key: $CI_COMMIT_BRANCH, paths: [a]}}\nb: {script: x, cache: {key: main, paths: [b]}}\n",
      1,
    ],
    [
      "with a variable of each job",
      "a: {script: x, variables: {K: 1}, cache: {key: $K, paths: [a]}}\nb: {script: x, variables: {K: 2}, cache: {key: $K, paths: [b]}}\n",
      0,
    ],
    [
      "with files and their position",
      "a: {script: x, cache: [{key: {files: [l]}, paths: [a]}]}\nb: {script: x, cache: [{key: k}, {key: {files: [l]}, paths: [b]}]}\n",
      0,
    ],
    [
      "with files and one prefix",
      "a: {script: x, cache: [{key: {files: [l], prefix: p}, paths: [a]}]}\nb: {script: x, cache: [{key: k}, {key: {files: [l], prefix: p}, paths: [b]}]}\n",
      1,
    ],
    [
      "that a template shares",
      ".t: {cache: {key: k, paths: [a]}}\na: {script: x, extends: .t}\nb: {script: x, extends: .t, parallel: 3}\n",
      0,
    ],
  ])("%s", async (_, text, count) => {
    expect((await lint(text)).map((warning) => warning.code)).toEqual(
      Array.from({ length: count }, () => "cache-paths-differ"),
    );
  });
});
