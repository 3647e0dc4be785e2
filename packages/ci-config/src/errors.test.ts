import { describe, expect, it } from "vitest";
import type { Problem } from "./pipeline.ts";
import { resolvePipeline } from "./resolve-pipeline.ts";
import type { PipelineResolution } from "./resolve-pipeline.ts";

async function resolve(text: string): Promise<PipelineResolution> {
  return await resolvePipeline({
    file: ".gitlab-ci.yml",
    readFile: async (path) => (path === ".gitlab-ci.yml" ? text : undefined),
    variables: { CI_COMMIT_BRANCH: "main", CI_PIPELINE_SOURCE: "push" },
  });
}

function short(problems: readonly Problem[]): readonly string[] {
  return problems.map((problem) => `${problem.line} ${problem.code}: ${problem.message}`);
}

const job = (body: string): string => `a:\n  script: x\n  ${body}\n`;

describe("mistakes are errors that name the place, the thing and the cure", () => {
  it.each([
    ["a:\n  script: [x\nb: y\n", 3, "broken-yaml", "broken YAML: "],
    ["a:\n\tscript: x\n", 2, "broken-yaml", "not tabs"],
    ["a: {script: x}\n---\nb: {script: y}\n", 2, "broken-yaml", "several YAML documents"],
    ["a: *nowhere\n", 1, "unknown-anchor", "no anchor &nowhere before this line"],
    ["a: !secret [x]\n", 1, "unknown-tag", "!secret is unknown"],
    ["- a\n", 1, "wrong-type", "the file must be a mapping"],
    ["", 1, "no-jobs", "has no visible job"],
    [".a: {script: x}\n", 1, "no-jobs", "has no visible job"],
    ["a: {script: x}\nb: {script: y}\na: {script: z}\n", 3, "duplicate-name", "a is defined twice"],
    ["a: 1\n", 1, "wrong-type", "a must be a mapping"],
    ["true: {script: x}\n", 1, "job-name", 'a job cannot be called "true"'],
    ["a: {}\n", 1, "missing-script", "job a: the job has no script; add script:"],
    ["a: {script: ''}\n", 1, "missing-script", "job a: the job has no script"],
    ["a: {script: []}\n", 1, "missing-script", "job a: the job has no script"],
    [
      job("stage: tests"),
      3,
      "unknown-stage",
      "its stage tests is not one of .pre, build, test, deploy, .post (did you mean test?)",
    ],
    [
      "stages: [one]\na: {script: x}\n",
      2,
      "unknown-stage",
      "its stage test (the default) is not one of .pre, one, .post",
    ],
    ["stages: one\na: {script: x, stage: one}\n", 1, "wrong-type", "stages must be a list of strings, not a string"],
    [job("stage: 1"), 3, "wrong-type", 'stage must be a string, not the number 1; write "1" in quotes'],
    [
      "a:\n  script:\n    - echo a: b\n",
      3,
      "wrong-type",
      "a command of script is a mapping; put the whole command in quotes",
    ],
    [
      "a:\n  script:\n    - yes\n",
      3,
      "wrong-type",
      'each command of script must be a string, not the boolean true; write "true" in quotes',
    ],
    ["a:\n  script: { x: y }\n", 2, "wrong-type", "script must be a string or a list of strings, not a mapping"],
    [`a:\n  script: ${"[".repeat(13)}x${"]".repeat(13)}\n`, 2, "invalid-value", "nested more than 10 levels deep"],
    [job("variables: [A]"), 3, "wrong-type", "variables must be a mapping of names to values"],
    [job("variables: { A: yes }"), 3, "wrong-type", "variables:A must be a string or a number, not the boolean true"],
    [job("variables: { A: 2024-01-01 }"), 3, "wrong-type", 'write "2024-01-01" in quotes'],
    [job("variables: { A: [x] }"), 3, "wrong-type", "variables:A must be a string or a number, not a list"],
    [
      "variables: { A: { value: x, options: [y] } }\na: {script: x}\n",
      1,
      "invalid-value",
      "must be one of its options: y",
    ],
    [job("needs: [nowhere]"), 3, "unknown-job", "needs names the job nowhere, which does not exist"],
    [job("needs: [.hidden]"), 3, "unknown-job", "hidden jobs never run"],
    [job("needs: a"), 3, "wrong-type", "needs must be a list of jobs"],
    [job("needs: [{ artifacts: true }]"), 3, "invalid-value", "an item of needs has no job"],
    [
      job(`needs: [${Array.from({ length: 51 }, (_, index) => `j${index}`).join(", ")}]`),
      3,
      "invalid-value",
      "needs names 51 jobs; at most 50",
    ],
    ["a: {script: x, needs: [b, b]}\nb: {script: x}\n", 1, "duplicate-name", "needs names b twice"],
    [
      "a: {script: x, needs: [b]}\nb: {script: x, stage: deploy}\n",
      1,
      "needs-later-stage",
      "needs b, whose stage deploy comes after its own stage test",
    ],
    [job("dependencies: [nowhere]"), 3, "unknown-job", "dependencies names the job nowhere, which does not exist"],
    [
      "a: {script: x}\nb: {script: x, dependencies: [a]}\n",
      2,
      "dependency-later-stage",
      "whose stage test is not before test",
    ],
    [
      "a: {script: x}\nb: {script: x, needs: [], dependencies: [a]}\n",
      2,
      "dependency-without-need",
      "dependencies names a, which is not in needs",
    ],
    [
      job("when: never"),
      3,
      "invalid-value",
      "when is never; it must be one of on_success, on_failure, always, manual, delayed",
    ],
    [job("when: delayed"), 3, "invalid-value", "when: delayed needs start_in"],
    [job("start_in: 1 day"), 3, "invalid-value", "start_in needs when: delayed"],
    [
      job("{ when: delayed, start_in: 8 days }").replace(
        "{ when: delayed, start_in: 8 days }",
        "when: delayed\n  start_in: 8 days",
      ),
      4,
      "invalid-value",
      "at most one week",
    ],
    [job("allow_failure: maybe"), 3, "wrong-type", "allow_failure must be true or false, not a string"],
    [job("allow_failure: {}"), 3, "invalid-value", "allow_failure has no exit_codes"],
    [job("timeout: soon"), 3, "invalid-value", "timeout is soon, which is not a duration; write for example 1h 30m"],
    [job("retry: 3"), 3, "wrong-type", "retry must be a whole number from 0 to 2, not the number 3"],
    [job("retry: { max: 1, when: bored }"), 3, "invalid-value", "retry:when is bored"],
    [job("parallel: 0"), 3, "wrong-type", "parallel must be a whole number from 1 to 200"],
    [job("parallel: {}"), 3, "invalid-value", "parallel has no matrix"],
    [job("parallel: { matrix: [] }"), 3, "invalid-value", "makes 0 jobs"],
    [
      job(`parallel: { matrix: [{ A: [${Array.from({ length: 201 }, (_, index) => index).join(", ")}] }] }`),
      3,
      "invalid-value",
      "more than 200 jobs",
    ],
    [job("parallel: { matrix: [{ A: [x, x] }] }"), 1, "duplicate-name", "two jobs would be called a: [x]"],
    [job("tags: docker"), 3, "wrong-type", "tags must be a list of strings"],
    [job("image: {}"), 3, "invalid-value", "image has no name"],
    [job("image: 3.9"), 3, "wrong-type", "image must be a string or a mapping with a name, not the number 3.9"],
    [job("services: redis"), 3, "wrong-type", "services must be a list of images"],
    [job("image: { name: x, pull_policy: sometimes }"), 3, "invalid-value", "pull_policy is sometimes"],
    [job("environment: { url: x }"), 3, "invalid-value", "environment has no name"],
    [job("artifacts: [x]"), 3, "wrong-type", "artifacts must be a mapping, not a list"],
    [job("artifacts: { paths: x }"), 3, "wrong-type", "artifacts:paths must be a list of strings, not a string"],
    [
      job("artifacts: { expire_in: later }"),
      3,
      "invalid-value",
      "artifacts:expire_in is later, which is not a duration",
    ],
    [
      job("artifacts: { when: sometimes }"),
      3,
      "invalid-value",
      "artifacts:when is sometimes; it must be one of on_success",
    ],
    [job("interruptible: maybe"), 3, "wrong-type", "interruptible must be true or false"],
    [job("inherit: { default: 1 }"), 3, "wrong-type", "inherit:default must be true or false"],
    [job("rules: x"), 3, "wrong-type", "rules must be a list of rules"],
    [job("rules: [x]"), 3, "wrong-type", "rules must be a mapping, not a string"],
    [
      job("rules: [{ if: $A = 1 }]"),
      3,
      "expression",
      "rules:if cannot be read: write == to compare (at character 4 of $A = 1)",
    ],
    [job("rules: [{ if: true }]"), 3, "wrong-type", "rules:if must be a string, not the boolean true"],
    [job("rules: [{ when: delayed }]"), 3, "invalid-value", "needs start_in"],
    [job("rules: [{ changes: {} }]"), 3, "invalid-value", "rules:changes has no paths"],
    [
      job(`rules: [{ exists: [${Array.from({ length: 51 }, () => "x").join(", ")}] }]`),
      3,
      "invalid-value",
      "at most 50",
    ],
    [job("rules: []\n  only: [main]"), 4, "invalid-value", "only cannot be used together with rules"],
    [job("only: [/(/]"), 3, "invalid-value", "/(/ is not a valid RE2 regular expression"],
    [job("except: { variables: [$A =] }"), 3, "expression", "except:variables cannot be read"],
    [job("extends: .nowhere"), 3, "unknown-extends", "extends .nowhere, which is not defined"],
    [job("extends: 1"), 3, "wrong-type", "extends takes the name of a job"],
    ["a: {script: x, extends: .b}\n.b: [x]\n", 1, "extends", "extends .b, which is not a job"],
    [
      "a: {script: x, extends: .b}\n.b: {extends: .c}\n.c: {extends: .b}\n",
      3,
      "extends-cycle",
      "extends goes in a circle: .b -> .c -> .b",
    ],
    ["a:\n  script: !reference [.b, script]\n", 2, "unknown-reference", "!reference [.b, script] names nothing"],
    ["a:\n  script: !reference [a, script]\n", 2, "reference-cycle", "!reference [a, script] refers to itself"],
    ["include: nowhere.yml\na: {script: x}\n", 1, "include", "include: the file nowhere.yml does not exist"],
    ["include: nowhere.txt\na: {script: x}\n", 1, "include", "does not end in .yml"],
    ["include: [1]\na: {script: x}\n", 1, "wrong-type", "each item of include must be a path"],
    ["include: [{ rules: [] }, {}]\na: {script: x}\n", 1, "include", "names no file; write local: PATH"],
    ["include: '*.yml'\na: {script: x}\n", 1, "include", "cannot be listed"],
    ["include: .gitlab-ci.yml\na: {script: x}\n", 1, "include-cycle", "in a circle: .gitlab-ci.yml -> .gitlab-ci.yml"],
    ["default: []\na: {script: x}\n", 1, "wrong-type", "default must be a mapping"],
    [
      "workflow: { rules: [{ when: manual }] }\na: {script: x}\n",
      1,
      "invalid-value",
      "rules:when is manual; it must be one of always, never",
    ],
    [job("<<: 1"), 3, "wrong-type", "`<<` takes a mapping"],
    ["{ a: b }: c\na: {script: x}\n", 1, "wrong-type", "a key must be a plain name"],
  ])("%j", async (text, line, code, message) => {
    const { pipeline, errors } = await resolve(text);
    expect(pipeline).toBeUndefined();
    expect(short(errors)).toContainEqual(expect.stringMatching(new RegExp(`^${line} ${code}: `)));
    expect(errors.find((error) => error.code === code)?.message).toContain(message);
    expect(errors.every((error) => error.file === ".gitlab-ci.yml")).toBe(true);
  });
});

describe("cache mistakes", () => {
  it.each([
    ["key: a/b", 'cache:key cannot contain the "/" character; use "-"'],
    ["key: a%2Fb", 'cache:key cannot contain the "/" character (a%2Fb decodes to a/b)'],
    ["key: a%2fb", 'cannot contain the "/" character'],
    ["key: .", 'cache:key cannot be "." or ".."'],
    ["key: '..'", 'cache:key cannot be "." or ".."'],
    ["key: '%2e%2E'", 'cannot be "." or ".." (%2e%2E decodes to ..)'],
    ["key: [a]", "cache:key must be a string or a mapping with files"],
    ["key: {}", "cache:key must have either files or files_commits, and has neither"],
    ["key: { files: [a], files_commits: [b] }", "and has both"],
    ["key: { files: [] }", "cache:key:files has 0 items; it must have 1 or 2"],
    ["key: { files: [a, b, c] }", "cache:key:files has 3 items; it must have 1 or 2"],
    ["key: { files: a }", "cache:key:files must be a list of strings"],
    ["key: { files: [a], prefix: a/b }", 'cache:key:prefix cannot contain the "/" character'],
    ["policy: fetch", "cache:policy is fetch; it must be pull-push, push, pull or a variable"],
    ["when: never", "cache:when is never; it must be one of on_success, on_failure, always"],
    ["fallback_keys: a", "cache:fallback_keys must be a list of strings"],
    ["fallback_keys: [a, b, c, d, e, f]", "cache:fallback_keys has 6 keys; at most 5 are allowed"],
    ["unprotect: maybe", "cache:unprotect must be true or false"],
    ["paths: [1]", "each item of cache:paths must be a string"],
  ])("%s", async (body, message) => {
    const { errors } = await resolve(job(`cache:\n    ${body}`));
    expect(short(errors)).toEqual([expect.stringContaining(message)]);
    expect(errors[0]?.line).toBe(4);
  });

  it.each(["$CI_COMMIT_REF_NAME", "a%252Fb", "...", "a.b", "1", "a%zz"])("accepts the key %s", async (key) => {
    const { errors, pipeline } = await resolve(job(`cache: { key: ${key}, paths: [x] }`));
    expect(errors).toEqual([]);
    expect(pipeline?.jobs[0]?.cache[0]?.key).toEqual({ kind: "text", text: key });
  });

  it("allows four entries and refuses five", async () => {
    const entries = (count: number): string =>
      job(`cache: [${Array.from({ length: count }, (_, index) => `{ key: k${index} }`).join(", ")}]`);
    expect((await resolve(entries(4))).errors).toEqual([]);
    expect(short((await resolve(entries(5))).errors)).toEqual([
      expect.stringContaining("cache has 5 entries; at most 4 are allowed"),
    ]);
  });

  it("accepts a policy that contains an allowed word, which the runner refuses later", async () => {
    expect((await resolve(job("cache: { policy: never-pull }"))).pipeline?.jobs[0]?.cache[0]?.policy).toBe(
      "never-pull",
    );
  });
});

describe("several mistakes", () => {
  it("are all reported, in order of line, once each", async () => {
    const { errors, pipeline } = await resolve(
      [
        "stages: [one]",
        ".t: { timeout: soon }",
        "a: { script: x, stage: two }",
        "b: { stage: one, extends: .t }",
        "c: { script: x, stage: one, extends: .t, needs: [d] }",
      ].join("\n"),
    );
    expect(pipeline).toBeUndefined();
    expect(short(errors)).toEqual([
      expect.stringMatching(/^2 invalid-value: job b: timeout is soon/),
      expect.stringMatching(/^3 unknown-stage: job a: its stage two/),
      expect.stringMatching(/^4 missing-script: job b: /),
      expect.stringMatching(/^5 unknown-job: job c: needs names the job d/),
    ]);
  });

  it("in the YAML of one file are all named, with their lines", async () => {
    const { errors } = await resolve("a: {script: x}\nb: ]\nc: {script: x}\nd: }\n");
    expect(errors.map((error) => error.line)).toEqual(expect.arrayContaining([2, 4]));
  });

  it("prints a needs cycle as a path, each cycle once", async () => {
    const { errors } = await resolve(
      "a: {script: x, needs: [b]}\nb: {script: x, needs: [c]}\nc: {script: x, needs: [a]}\nd: {script: x, needs: [d]}\ne: {script: x, needs: [a]}\n",
    );
    expect(short(errors)).toEqual([
      "1 needs-cycle: needs go in a circle: a -> b -> c -> a; remove one of these needs",
      "4 needs-cycle: needs go in a circle: d -> d; remove one of these needs",
    ]);
  });

  it("of hidden jobs do not matter", async () => {
    expect((await resolve(".t: { timeout: soon, script: 1 }\n.u: 5\na: {script: x}\n")).errors).toEqual([]);
  });
});

describe("hostile files", () => {
  it("with exponentially growing aliases are refused quickly", async () => {
    const lines = ["x0: &x0 [y, y, y, y, y, y, y, y, y, y]"];
    for (let level = 1; level < 12; level++) lines.push(`.x${level}: &x${level} [${`*x${level - 1}, `.repeat(10)}]`);
    const { errors } = await resolve(`${lines.join("\n")}\na: { script: *x11 }\n`);
    expect(errors.map((error) => error.code)).toContain("too-large");
  });

  it("with absurd nesting are refused", async () => {
    const { errors } = await resolve(`a: ${"[".repeat(100_000)}`);
    expect(errors.map((error) => error.code)).toContain("broken-yaml");
  });

  it("do not confuse names with properties of objects", async () => {
    const { pipeline } = await resolve(
      "constructor: {script: x, variables: {__proto__: a, toString: $valueOf}}\n__proto__: {script: y}\n",
    );
    expect(pipeline?.jobs.map((found) => found.name)).toEqual(["constructor", "__proto__"]);
    expect(pipeline?.jobs[0]?.variables.map((variable) => variable.key)).toEqual(["__proto__", "toString"]);
  });
});
