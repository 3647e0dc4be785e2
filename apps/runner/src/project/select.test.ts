import { resolvePipeline, type Pipeline } from "@fleetfoot/ci-config";
import { describe, expect, it } from "vitest";
import { selectJobs } from "./select.ts";

const FILE = `
stages: [build, test, deploy]
compile: { stage: build, script: [make] }
unit: { stage: test, script: [test], parallel: 2 }
lint: { stage: test, script: [lint], needs: [] }
deploy: { stage: deploy, script: [go], needs: [compile, lint] }
later: { stage: deploy, script: [go], dependencies: [compile] }
`;

async function pipeline(): Promise<Pipeline> {
  const { pipeline: resolved, errors } = await resolvePipeline({
    file: "ci.yml",
    readFile: async () => FILE,
    variables: { CI_COMMIT_BRANCH: "main", CI_COMMIT_REF_NAME: "main", CI_PIPELINE_SOURCE: "push" },
  });
  if (resolved === undefined) throw new Error(JSON.stringify(errors));
  return resolved;
}

const names = (selected: Pipeline): readonly string[] => selected.jobs.map((job) => job.name);

describe("selectJobs", () => {
  it("keeps everything when nothing is named", async () => {
    const all = await pipeline();
    expect(selectJobs(all, [], false)).toBe(all);
  });

  it("keeps all instances of a parallel job", async () => {
    expect(names(selectJobs(await pipeline(), ["unit"], false))).toEqual(["unit 1/2", "unit 2/2"]);
  });

  it("keeps one instance by its own name", async () => {
    expect(names(selectJobs(await pipeline(), ["unit 2/2"], false))).toEqual(["unit 2/2"]);
  });

  it("leaves no job waiting for one that is not there", async () => {
    const selected = selectJobs(await pipeline(), ["deploy", "later"], false);
    expect(selected.jobs.map((job) => job.needs)).toEqual([[], undefined]);
    expect(selected.jobs.map((job) => job.dependencies)).toEqual([undefined, []]);
  });

  it("adds what a job needs when asked to", async () => {
    expect(names(selectJobs(await pipeline(), ["deploy"], true))).toEqual(["compile", "lint", "deploy"]);
  });

  it("adds all earlier stages for a job without needs", async () => {
    expect(names(selectJobs(await pipeline(), ["later"], true))).toEqual([
      "compile",
      "unit 1/2",
      "unit 2/2",
      "lint",
      "later",
    ]);
  });
});
