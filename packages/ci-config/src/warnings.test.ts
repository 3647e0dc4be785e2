import { describe, expect, it } from "vitest";
import { resolvePipeline } from "./resolve-pipeline.ts";
import type { PipelineResolution } from "./resolve-pipeline.ts";

async function resolve(text: string): Promise<PipelineResolution> {
  return await resolvePipeline({
    file: "ci.yml",
    readFile: async (path) => (path === "ci.yml" ? text : undefined),
    variables: { CI_COMMIT_BRANCH: "main", CI_PIPELINE_SOURCE: "push" },
  });
}

const job = (body: string): string => `a:\n  script: x\n  ${body}\n`;

describe("what has no effect is named in a warning with file and line", () => {
  it.each([
    [job("secrets: {}"), 3, "job a: secrets is not supported"],
    [job("id_tokens: {}"), 3, "job a: id_tokens is not supported"],
    [job("release: {}"), 3, "job a: release is not supported"],
    [job("pages: true"), 3, "job a: pages is not supported"],
    [job("coverage: /x/"), 3, "job a: coverage is not supported"],
    [job("scripts: x"), 3, "job a: scripts is not a known keyword and has no effect (did you mean script?)"],
    [job("artifacts: { expose_as: x }"), 3, "job a: artifacts:expose_as is not supported"],
    [
      job("artifacts: { reports: { junitt: x } }"),
      3,
      "artifacts:reports:junitt is not a known keyword and has no effect (did you mean junit?)",
    ],
    [job("cache: { pathes: [x] }"), 3, "cache:pathes is not a known keyword and has no effect (did you mean paths?)"],
    [job("environment: { name: x, action: stop, on_stop: b }"), 3, "environment:on_stop is not supported"],
    [
      job("needs: [{ project: g/p, job: b, ref: main, artifacts: true }]"),
      3,
      "needs of another project or pipeline (g/p) are not supported",
    ],
    [job("rules: [{ changes: { paths: [x], compare_to: main } }]"), 3, "rules:changes:compare_to is not supported"],
    [job("only: { kubernetes: active, refs: [main] }"), 3, "only:kubernetes is not supported"],
    [job("variables: { A: }"), 3, "variables:A has no value and counts as empty"],
    [job("when: always\n  when: manual"), 4, "the key when stands twice in one mapping; only the last one counts"],
    [
      "include: { template: Auto-DevOps.gitlab-ci.yml }\na: {script: x}\n",
      1,
      "include:template is not supported: the jobs of Auto-DevOps.gitlab-ci.yml are missing",
    ],
    [
      "include: [{ project: g/p, file: x.yml }]\na: {script: x}\n",
      1,
      "include:project is not supported: the jobs of g/p are missing",
    ],
    [
      "include: https://example.test/x.yml\na: {script: x}\n",
      1,
      "include:remote is not supported: the jobs of https://example.test/x.yml are missing",
    ],
    ["include: { remote: https://example.test/x.yml }\na: {script: x}\n", 1, "include:remote is not supported"],
    ["include: { component: example.test/c@1 }\na: {script: x}\n", 1, "include:component is not supported"],
    ["spec: { inputs: { x: {} } }\n---\na: {script: x}\n", 1, "spec: `spec` (inputs) is not supported"],
    [
      "workflow: { auto_cancel: { on_new_commit: none } }\na: {script: x}\n",
      1,
      "workflow: workflow:auto_cancel is not supported",
    ],
    ["default: { id_tokens: {}, imagee: x }\na: {script: x}\n", 1, "default: id_tokens is not supported"],
    [
      "default: { imagee: x }\na: {script: x}\n",
      1,
      "default: imagee is not a known keyword and has no effect (did you mean image?)",
    ],
    [
      "image: x\ndefault:\n  image: y\na: {script: x}\n",
      3,
      "image stands both in default and at the top of the file; only default counts",
    ],
  ])("%j", async (text, line, message) => {
    const { errors, warnings, pipeline } = await resolve(text);
    expect(errors).toEqual([]);
    expect(pipeline?.jobs.map((found) => found.name)).toEqual(["a"]);
    const warning = warnings.find((candidate) => candidate.message.includes(message));
    expect(warning).toMatchObject({ file: "ci.yml", line });
  });

  it("JE 73: names the project that is not triggered and the environment whose approvals are not asked for", async () => {
    const { pipeline, warnings, errors } = await resolve(
      "call:\n  trigger:\n    project: group/other\nship:\n  stage: deploy\n  script: x\n  environment: production\n",
    );
    expect(errors).toEqual([]);
    expect(warnings).toEqual([
      expect.objectContaining({
        line: 3,
        message:
          "job call: trigger is not supported: the project group/other is not triggered, and the job is left out",
      }),
      expect.objectContaining({
        line: 7,
        message: "job ship: approvals of the environment production are not asked for",
      }),
    ]);
    expect(pipeline?.jobs.map((job) => [job.name, job.environment?.name])).toEqual([["ship", "production"]]);
  });

  it("leaves out jobs with run steps, and names the needs that they leave open", async () => {
    const { pipeline, warnings } = await resolve(
      "steps: {run: [{name: x, script: y}]}\nnext: {script: x, needs: [steps]}\n",
    );
    expect(pipeline?.jobs.map((job) => [job.name, job.needs])).toEqual([["next", []]]);
    expect(warnings.map((warning) => warning.message)).toEqual([
      "job steps: run (steps) is not supported, so the job is left out; use script instead",
      "job next: needs steps, which is left out as not supported; the job does not wait for it",
    ]);
  });

  it("reports a template's mistake once, not once for every job that uses it", async () => {
    const { warnings } = await resolve(
      ".t: {coverage: /x/}\na: {extends: .t, script: x}\nb: {extends: .t, script: x}\n",
    );
    expect(warnings).toHaveLength(1);
  });
});
