import { describe, expect, it } from "vitest";
import type { ResolvePipelineOptions, PipelineResolution } from "./resolve-pipeline.ts";
import { resolvePipeline } from "./resolve-pipeline.ts";

const push = { CI_PIPELINE_SOURCE: "push", CI_COMMIT_BRANCH: "main", CI_COMMIT_REF_NAME: "main" };
const mergeRequest = {
  CI_PIPELINE_SOURCE: "merge_request_event",
  CI_MERGE_REQUEST_IID: "1",
  CI_COMMIT_REF_NAME: "feature",
};
const tag = { CI_PIPELINE_SOURCE: "push", CI_COMMIT_TAG: "v1.2", CI_COMMIT_REF_NAME: "v1.2" };
const schedule = { ...push, CI_PIPELINE_SOURCE: "schedule" };

async function resolve(text: string, options: Partial<ResolvePipelineOptions> = {}): Promise<PipelineResolution> {
  return await resolvePipeline({
    file: "ci.yml",
    readFile: async (path) => (path === "ci.yml" ? text : undefined),
    variables: push,
    ...options,
  });
}

async function names(text: string, options: Partial<ResolvePipelineOptions> = {}): Promise<readonly string[]> {
  const { pipeline, errors } = await resolve(text, options);
  expect(errors).toEqual([]);
  return pipeline?.jobs.map((job) => job.name) ?? [];
}

describe("rules", () => {
  it("the first rule that matches decides; a rule without conditions always does", async () => {
    const text =
      "a: {script: x, rules: [{if: $A == 'never', when: never}, {if: $A, when: manual}, {when: on_failure}]}\n";
    const when = async (value: string): Promise<unknown> =>
      (await resolve(text, { variables: { ...push, A: value } })).pipeline?.jobs[0]?.when;
    expect(await Promise.all(["never", "other", ""].map(when))).toEqual([undefined, "manual", "on_failure"]);
  });

  it.each([
    ["rules: [{when: manual}]", { when: "manual", allowFailure: { allowed: false } }],
    ["rules: [{when: manual, allow_failure: true}]", { when: "manual", allowFailure: { allowed: true } }],
    ["when: manual, rules: [{if: $CI_COMMIT_BRANCH}]", { when: "manual", allowFailure: { allowed: false } }],
    [
      "allow_failure: {exit_codes: [3]}, rules: [{when: always}]",
      { when: "always", allowFailure: { allowed: true, exitCodes: [3] } },
    ],
    ["rules: [{when: delayed, start_in: 1h}]", { when: "delayed", startInMs: 3_600_000 }],
    ["rules: [{interruptible: true}]", { interruptible: true }],
    [
      "variables: {A: job, B: job}, rules: [{variables: {B: rule}}]",
      {
        variables: [
          { key: "A", value: "job" },
          { key: "B", value: "rule" },
        ],
      },
    ],
    ["needs: [b], rules: [{needs: []}]", { needs: [] }],
    ["needs: [b], rules: [{when: always}]", { needs: [{ job: "b" }] }],
    ["rules: [[{if: $MISSING}], [[{when: always}]]]", { when: "always" }],
  ])("%s", async (body, expected) => {
    const { pipeline, errors } = await resolve(`b: {script: x}\na: {script: x, ${body}}\n`);
    expect(errors).toEqual([]);
    expect(pipeline?.jobs[1]).toMatchObject(expected);
  });

  it("sees variables of the file, expanded, and those of the job", async () => {
    const text =
      "variables: {G: $CI_COMMIT_BRANCH-x}\na: {script: x, rules: [{if: $G == 'main-x'}]}\nb: {script: x, variables: {J: $G}, rules: [{if: $J == 'main-x'}]}\nc: {script: x, rules: [{if: $J}]}\n";
    expect(await names(text)).toEqual(["a", "b"]);
  });

  it("lets given variables win over the file's", async () => {
    expect(
      await names("variables: {A: file}\na: {script: x, rules: [{if: $A == 'given'}]}\n", {
        variables: { ...push, A: "given" },
      }),
    ).toEqual(["a"]);
  });

  it("knows a pattern operator that is written with escapes", async () => {
    const text = String.raw`a: {script: x, rules: [{if: "$CI_COMMIT_BRANCH \x3d~ /^ma/"}]}`;
    expect(await names(text)).toEqual(["a"]);
  });

  it("takes a pattern from a variable of the caller", async () => {
    const text = "a: {script: x, rules: [{if: $CI_COMMIT_BRANCH =~ $PATTERN}]}\nb: {script: x}\n";
    expect(await names(text, { variables: { ...push, PATTERN: "/^ma/" } })).toEqual(["a", "b"]);
    expect(await names(text, { variables: { ...push, PATTERN: "/^x/" } })).toEqual(["b"]);
  });

  it("an empty list keeps the job out", async () => {
    expect(await names("a: {script: x, rules: []}\nb: {script: x}\n")).toEqual(["b"]);
  });

  it.each([
    [["docs/a.md"], ["docs", "both"]],
    [["src/x.js"], []],
    [["src/x.ts"], ["code"]],
    [[], []],
    [undefined, ["docs", "code", "both"]],
  ])("changes: %j give %j", async (changedFiles, expected) => {
    const text =
      "variables: {EXT: ts}\ndocs: {script: x, rules: [{changes: ['docs/*']}]}\ncode: {script: x, rules: [{changes: {paths: ['**/*.$EXT']}}]}\nboth: {script: x, rules: [{if: $CI_COMMIT_BRANCH, changes: ['docs/a.md']}]}\n";
    expect(await names(text, changedFiles === undefined ? {} : { changedFiles })).toEqual(expected);
  });

  it.each([
    [
      ["Dockerfile", "src/a.ts"],
      ["exact", "glob"],
    ],
    [["other"], []],
    [undefined, []],
  ])("exists: the files %j give %j", async (files, expected) => {
    const text =
      "exact: {script: x, rules: [{exists: [Dockerfile]}]}\nglob: {script: x, rules: [{exists: ['**/*.ts']}]}\n";
    expect(await names(text, files === undefined ? {} : { listFiles: async () => files })).toEqual(expected);
  });

  it("lists files only when a rule asks for them, and only once", async () => {
    let count = 0;
    const listFiles = async (): Promise<readonly string[]> => {
      count++;
      return ["f"];
    };
    await names("a: {script: x}\n", { listFiles });
    expect(count).toBe(0);
    await names("a: {script: x, rules: [{exists: [f]}]}\nb: {script: x, rules: [{exists: [g]}]}\n", { listFiles });
    expect(count).toBe(1);
  });

  it("a need whose rules keep it out is an error unless it is optional", async () => {
    const text = (optional: boolean): string =>
      `a: {script: x, rules: [{if: $MISSING}]}\nb: {script: x, needs: [{job: a, optional: ${optional}}]}\n`;
    expect((await resolve(text(false))).errors).toEqual([
      {
        file: "ci.yml",
        line: 2,
        code: "missing-need",
        message:
          "job b: needs a, which its rules keep out of this pipeline; add optional: true to the need, or make the rules of both agree",
      },
    ]);
    expect((await resolve(text(true))).pipeline?.jobs[0]?.needs).toEqual([]);
  });

  it("finds a cycle that only the needs of rules close", async () => {
    const { errors } = await resolve("a: {script: x, needs: [b]}\nb: {script: x, rules: [{needs: [a]}]}\n");
    expect(errors.map((error) => error.message)).toEqual([
      "needs go in a circle: a -> b -> a; remove one of these needs",
    ]);
  });
});

describe("jobs that are named", () => {
  const text =
    "a: {script: x}\nabsent: {script: x, rules: [{if: $MISSING}]}\nhand: {script: x, when: manual}\nmany: {script: x, parallel: 2, rules: [{when: never}]}\n";

  it("JE 62: a job whose rules match nothing is absent, and takes part when it is named", async () => {
    expect(await names(text)).toEqual(["a", "hand"]);
    expect(await names(text, { jobNames: ["absent"] })).toEqual(["a", "absent", "hand"]);
  });

  it("JE 62: a manual job that is named does not wait", async () => {
    const { pipeline } = await resolve(text, { jobNames: ["hand"] });
    expect(pipeline?.jobs.find((job) => job.name === "hand")).toMatchObject({
      when: "on_success",
      allowFailure: { allowed: true },
    });
  });

  it("JE 62: naming a job that does not exist is an error that names it", async () => {
    expect((await resolve(text, { jobNames: ["absnt"] })).errors).toEqual([
      {
        file: "ci.yml",
        line: 1,
        code: "unknown-job",
        message: "there is no job absnt in the configuration (did you mean absent?); name one that is defined",
      },
    ]);
  });

  it("can be one of several parallel ones", async () => {
    expect(await names(text, { jobNames: ["many 2/2"] })).toEqual(["a", "hand", "many 2/2"]);
    expect(await names(text, { jobNames: ["many"] })).toEqual(["a", "hand", "many 1/2", "many 2/2"]);
  });

  it("run without a need that is not in the pipeline, which a warning names", async () => {
    const { pipeline, warnings, errors } = await resolve(
      `${text}last: {script: x, needs: [absent], rules: [{if: $MISSING}]}\n`,
      { jobNames: ["last"] },
    );
    expect(errors).toEqual([]);
    expect(pipeline?.jobs.find((job) => job.name === "last")?.needs).toEqual([]);
    expect(warnings.map((warning) => warning.message)).toEqual([
      "job last: needs absent, which is not in this pipeline; the job runs without it since it was named",
    ]);
  });
});

describe("workflow", () => {
  const text = [
    "workflow:",
    "  rules:",
    "    - if: $CI_PIPELINE_SOURCE == 'schedule'",
    "      when: never",
    "    - when: always",
    "a: {script: x, rules: [{if: $CI_PIPELINE_SOURCE == 'merge_request_event'}]}",
    "b: {script: x, rules: [{if: $CI_COMMIT_BRANCH}]}",
  ].join("\n");

  it.each([
    { row: "JE 68", source: "merge_request_event", variables: mergeRequest, expected: ["a"] },
    { row: "JE 68", source: "push", variables: push, expected: ["b"] },
  ])("$row: a pipeline of source $source has only the jobs whose rules match", async ({ variables, expected }) => {
    expect(await names(text, { variables })).toEqual(expected);
  });

  it("JE 68: workflow:rules that refuse the source schedule give no pipeline, and say so", async () => {
    const { pipeline, refused, errors } = await resolve(text, { variables: schedule });
    expect({ pipeline, errors }).toEqual({ pipeline: undefined, errors: [] });
    expect(refused).toBe("workflow:rules refuse this pipeline: no rule matches, or the one that does says when: never");
  });

  it("refuses when no rule matches", async () => {
    expect((await resolve("workflow: {rules: [{if: $MISSING}]}\na: {script: x}\n")).refused).toContain(
      "no rule matches",
    );
  });

  it("adds variables to the jobs and to its name", async () => {
    const { pipeline } = await resolve(
      "variables: {V: global}\nworkflow: {name: 'Build $V of $CI_COMMIT_BRANCH', rules: [{variables: {V: workflow}}]}\na: {script: x}\nb: {script: x, variables: {V: job}}\n",
    );
    expect(pipeline?.name).toBe("Build workflow of main");
    expect(pipeline?.jobs.map((job) => job.variables.map((variable) => variable.value))).toEqual([
      ["workflow"],
      ["job"],
    ]);
  });

  it.each([
    ["a: {script: x, rules: [{if: $MISSING}]}\n", "no job takes part"],
    ["a: {script: x, stage: .pre}\n", "only .pre and .post jobs take part"],
  ])("without jobs there is no pipeline: %s", async (file, reason) => {
    expect(await resolve(file)).toMatchObject({
      pipeline: undefined,
      refused: expect.stringContaining(reason) as string,
      errors: [],
    });
  });
});

describe("only and except", () => {
  it.each([
    ["only: [main]", push, true],
    ["only: [other]", push, false],
    ["only: main", push, true],
    ["only: [branches]", push, true],
    ["only: [branches]", tag, false],
    ["only: [tags]", tag, true],
    ["only: [/^v\\d/]", tag, true],
    ["only: [/^MA/i]", push, true],
    ["only: [/^x/]", push, false],
    ["only: [/^feat/]", mergeRequest, false],
    ["only: [merge_requests]", mergeRequest, true],
    ["only: [pushes]", push, true],
    ["only: [schedules]", schedule, true],
    ["only: [schedules]", push, false],
    ["only: [main@group/project]", { ...push, CI_PROJECT_PATH: "group/project" }, true],
    ["only: [main@group/project]", { ...push, CI_PROJECT_PATH: "other/project" }, false],
    ["only: ['/^ma/@group/project']", { ...push, CI_PROJECT_PATH: "group/project" }, true],
    ["only: {refs: [main], variables: [$A]}", push, false],
    ["only: {refs: [main], variables: [$A, $CI_COMMIT_BRANCH]}", push, true],
    ["only: {changes: ['docs/*']}", push, true],
    ["except: [main]", push, false],
    ["except: [tags]", push, true],
    ["except: {refs: [tags], variables: [$CI_COMMIT_BRANCH]}", push, false],
    ["except: [schedules]", schedule, false],
    ["tags: [t]", push, true],
    ["tags: [t]", tag, true],
    ["tags: [t]", mergeRequest, false],
  ])("%s in %j: %s", async (body, variables, expected) => {
    const found = await names(`a: {script: x, ${body}}\nz: {script: x, rules: [{when: always}]}\n`, {
      variables,
      changedFiles: ["docs/a"],
    });
    expect(found.includes("a")).toBe(expected);
  });

  it("only:changes keeps a job out when other files changed", async () => {
    expect(
      await names("a: {script: x, only: {changes: ['docs/*']}}\nb: {script: x}\n", { changedFiles: ["src/a"] }),
    ).toEqual(["b"]);
  });

  it("jobs with neither are not limited to branches and tags when there are workflow rules", async () => {
    expect(await names("workflow: {rules: [{when: always}]}\na: {script: x}\n", { variables: mergeRequest })).toEqual([
      "a",
    ]);
  });
});
