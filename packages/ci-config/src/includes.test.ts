import { describe, expect, it } from "vitest";
import { resolvePipeline } from "./resolve-pipeline.ts";
import type { PipelineResolution, ResolvePipelineOptions } from "./resolve-pipeline.ts";

async function resolve(
  files: Readonly<Record<string, string>>,
  options: Partial<ResolvePipelineOptions> = {},
): Promise<PipelineResolution> {
  return await resolvePipeline({
    file: "ci.yml",
    readFile: async (path) => files[path],
    listFiles: async () => Object.keys(files),
    variables: { CI_COMMIT_BRANCH: "main", CI_PIPELINE_SOURCE: "push", DIR: "ci" },
    ...options,
  });
}

async function names(files: Readonly<Record<string, string>>): Promise<readonly string[]> {
  const { pipeline, errors } = await resolve(files);
  expect(errors).toEqual([]);
  return pipeline?.jobs.map((job) => job.name) ?? [];
}

const job = (name: string): string => `${name}: {script: x}\n`;

describe("include:local", () => {
  it.each([
    ["include: a.yml"],
    ["include: /a.yml"],
    ["include: [a.yml]"],
    ["include: {local: a.yml}"],
    ["include: [{local: /a.yml}]"],
    ["include: '*.yml'\nunused: {script: x, rules: []}"],
    ["variables: {F: a}\ninclude: $F.yml"],
  ])("%s", async (text) => {
    const files = { "ci.yml": text, "a.yml": job("a") };
    expect(await names(text.includes("*") ? { "ci.yml": text.replace("*", "a*"), "a.yml": job("a") } : files)).toEqual([
      "a",
    ]);
  });

  it("takes wildcard matches in order of name, also below directories", async () => {
    const files = {
      "ci.yml": "include: $DIR/**.yml\n",
      "ci/b.yml": job("b"),
      "ci/a/c.yml": job("c"),
      "ci/a.txt": "",
      "other/d.yml": job("d"),
    };
    expect(await names(files)).toEqual(["c", "b"]);
  });

  it("merges included files first, in order, and the including one on top", async () => {
    const { pipeline } = await resolve({
      "ci.yml": "include: [one.yml, two.yml]\nvariables: {C: root}\na: {tags: [root]}\n",
      "one.yml":
        "variables: {A: one, B: one, C: one}\na: {script: one, stage: build, tags: [one], variables: {X: one}}\n",
      "two.yml": "variables: {B: two}\na: {script: two, variables: {Y: two}}\n",
    });
    expect(pipeline?.jobs[0]).toMatchObject({
      script: ["two"],
      stage: "build",
      tags: ["root"],
      source: { file: "ci.yml", line: 3 },
    });
    expect(pipeline?.jobs[0]?.variables.map(({ key, value }) => `${key}=${value}`)).toEqual([
      "A=one",
      "B=two",
      "C=root",
      "X=one",
      "Y=two",
    ]);
  });

  it("follows includes of included files, paths start at the top of the repository", async () => {
    expect(
      await names({
        "ci.yml": "include: ci/a.yml\n",
        "ci/a.yml": `include: ci/b.yml\n${job("a")}`,
        "ci/b.yml": job("b"),
      }),
    ).toEqual(["b", "a"]);
  });

  it("lets extends and references reach into other files", async () => {
    const { pipeline } = await resolve({
      "ci.yml": "include: t.yml\na: {extends: .t, before_script: !reference [.u, script]}\n",
      "t.yml": ".t: {script: t}\n.u: {script: [u]}\n",
    });
    expect(pipeline?.jobs[0]).toMatchObject({ script: ["t"], beforeScript: ["u"] });
  });

  it.each([
    ["[{if: $CI_COMMIT_BRANCH == 'main'}]", ["a", "z"]],
    ["[{if: $CI_COMMIT_BRANCH == 'other'}]", ["z"]],
    ["[{if: $CI_COMMIT_BRANCH, when: never}]", ["z"]],
    ["[{if: $GLOBAL =~ /^ye/}]", ["a", "z"]],
    ["[{exists: [a.yml]}]", ["a", "z"]],
    ["[{exists: [b.yml]}]", ["z"]],
  ])("include:rules %s give %j", async (rules, expected) => {
    expect(
      await names({
        "ci.yml": `variables: {GLOBAL: 'yes'}\ninclude: [{local: a.yml, rules: ${rules}}]\n${job("z")}`,
        "a.yml": job("a"),
      }),
    ).toEqual(expected);
  });

  it("names file and line of a mistake in an included file, and goes on with the others", async () => {
    const { errors } = await resolve({
      "ci.yml": "include: [a.yml, b.yml]\nz: {}\n",
      "a.yml": "\na: ]\n",
      "b.yml": "\n\nb: {script: x, stage: nope}\n",
    });
    expect(errors.map((error) => `${error.file}:${error.line} ${error.code}`)).toEqual([
      "a.yml:2 broken-yaml",
      "b.yml:3 unknown-stage",
      "ci.yml:2 missing-script",
    ]);
  });

  it("names the circle when files include each other", async () => {
    const { errors } = await resolve({
      "ci.yml": "include: a.yml\nz: {script: x}\n",
      "a.yml": "include: b.yml\n",
      "b.yml": "include: a.yml\n",
    });
    expect(errors).toEqual([
      expect.objectContaining({
        file: "b.yml",
        code: "include-cycle",
        message: "include: files include each other in a circle: a.yml -> b.yml -> a.yml; remove one of these includes",
      }),
    ]);
  });

  it.each([
    [150, 0],
    [151, 1],
  ])("%i files: %i errors", async (count, errorCount) => {
    const paths = Array.from({ length: count }, (_, index) => `f${index}.yml`);
    const files = {
      "ci.yml": `include: [${paths.join(", ")}]\nz: {script: x}\n`,
      ...Object.fromEntries(paths.map((path, index) => [path, job(`j${index}`)])),
    };
    const { errors } = await resolve(files);
    expect(errors.map((error) => error.code)).toEqual(Array.from({ length: errorCount }, () => "include"));
  });

  it("a wildcard without match is an error that names it", async () => {
    const { errors } = await resolve({ "ci.yml": "include: 'x/*.yml'\nz: {script: x}\n" });
    expect(errors.map((error) => error.message)).toEqual([
      "include: x/*.yml matches no tracked file; add one (git add) or correct the pattern",
    ]);
  });
});

describe("reading files", () => {
  it("a missing root file is an error that names it", async () => {
    expect((await resolve({})).errors).toEqual([
      {
        file: "ci.yml",
        line: 1,
        code: "missing-file",
        message: "ci.yml does not exist; create it or name another file",
      },
    ]);
  });

  it("passes on what readFile throws", async () => {
    const failure = new Error("EACCES");
    await expect(resolve({}, { readFile: async () => await Promise.reject(failure) })).rejects.toBe(failure);
  });

  it("rejects with the reason of the signal, before the next file is read", async () => {
    const controller = new AbortController();
    const reason = new Error("stopped");
    const read: string[] = [];
    const readFile = async (path: string): Promise<string> => {
      read.push(path);
      controller.abort(reason);
      return "include: a.yml\n";
    };
    await expect(resolve({}, { readFile, signal: controller.signal })).rejects.toBe(reason);
    expect(read).toEqual(["ci.yml"]);
  });

  it("reads every file once and does not depend on earlier calls", async () => {
    const files = { "ci.yml": "include: a.yml\n", "a.yml": job("a") };
    expect(await resolve(files)).toEqual(await resolve(files));
  });
});
