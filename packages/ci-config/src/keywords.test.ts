import { describe, expect, it } from "vitest";
import type { Pipeline, PipelineJob } from "./pipeline.ts";
import { resolvePipeline } from "./resolve-pipeline.ts";

async function resolve(text: string): Promise<Pipeline> {
  const { pipeline, errors } = await resolvePipeline({
    file: ".gitlab-ci.yml",
    readFile: async (path) => (path === ".gitlab-ci.yml" ? text : undefined),
    variables: { CI_COMMIT_BRANCH: "main", CI_COMMIT_REF_NAME: "main", CI_PIPELINE_SOURCE: "push" },
  });
  expect(errors).toEqual([]);
  if (pipeline === undefined) throw new Error("refused");
  return pipeline;
}

/** The job `a` of a file, or the only one that its body makes. */
async function resolveJob(text: string): Promise<PipelineJob> {
  const job = (await resolve(text)).jobs.find((candidate) => candidate.baseName === "a");
  if (job === undefined) throw new Error("no job a");
  return job;
}

const always = { max: 0, when: ["always"], exitCodes: [] };

describe("a job without keywords", () => {
  it("has the documented defaults", async () => {
    expect(await resolveJob("\na:\n  script: x\n")).toEqual({
      name: "a",
      baseName: "a",
      stage: "test",
      script: ["x"],
      beforeScript: [],
      afterScript: [],
      variables: [],
      when: "on_success",
      startInMs: undefined,
      allowFailure: { allowed: false, exitCodes: [] },
      retry: always,
      timeoutSeconds: undefined,
      needs: undefined,
      dependencies: undefined,
      artifacts: undefined,
      cache: [],
      image: undefined,
      services: [],
      tags: [],
      parallel: undefined,
      resourceGroup: undefined,
      interruptible: false,
      environment: undefined,
      hooks: { preGetSources: [] },
      source: { file: ".gitlab-ci.yml", line: 2 },
    });
  });
});

const fullArtifacts =
  "{ name: n, paths: [p], exclude: [e], untracked: true, when: always, expire_in: 1 day, reports: { junit: j.xml, dotenv: [a.env, b.env], sast: s.json } }";
const noArtifacts = {
  name: undefined,
  paths: [],
  exclude: [],
  untracked: false,
  when: "on_success",
  expireIn: undefined,
  reports: {},
};
const defaultCache = {
  key: { kind: "text", text: "default" },
  paths: [],
  untracked: false,
  policy: "pull-push",
  when: "on_success",
  fallbackKeys: [],
  unprotect: false,
};

describe("keywords of a job", () => {
  it.each<[body: string, expected: Partial<PipelineJob>]>([
    ["script: [x, [y, [z]], '']", { script: ["x", "y", "z", ""] }],
    ["script: |\n    x\n    y", { script: ["x\ny\n"] }],
    ["script: x\n  before_script: b\n  after_script: [c, [d]]", { beforeScript: ["b"], afterScript: ["c", "d"] }],
    ["stage: deploy", { stage: "deploy" }],
    ["stage: .post\nb:\n  script: x", { stage: ".post" }],
    [
      "variables: { A: x, B: 1, C: 0755, D: 1.50, E: '' }",
      {
        variables: [
          ["A", "x"],
          ["B", "1"],
          ["C", "493"],
          ["D", "1.5"],
          ["E", ""],
        ].map(([key = "", value = ""]) => ({ key, value, raw: false })),
      },
    ],
    [
      "variables: { A: { value: $B, expand: false, description: d } }",
      { variables: [{ key: "A", value: "$B", raw: true }] },
    ],
    ["when: on_failure", { when: "on_failure" }],
    ["when: always", { when: "always" }],
    ["when: manual", { when: "manual", allowFailure: { allowed: true, exitCodes: [] } }],
    ["when: manual\n  allow_failure: false", { when: "manual", allowFailure: { allowed: false, exitCodes: [] } }],
    ["when: delayed\n  start_in: 30 minutes", { when: "delayed", startInMs: 1_800_000 }],
    ["when: delayed\n  start_in: 5", { when: "delayed", startInMs: 5000 }],
    ["allow_failure: true", { allowFailure: { allowed: true, exitCodes: [] } }],
    ["allow_failure: { exit_codes: 42 }", { allowFailure: { allowed: true, exitCodes: [42] } }],
    ["allow_failure: { exit_codes: [42, 43] }", { allowFailure: { allowed: true, exitCodes: [42, 43] } }],
    ["retry: 2", { retry: { max: 2, when: ["always"], exitCodes: [] } }],
    [
      "retry: { max: 1, when: script_failure, exit_codes: [3] }",
      { retry: { max: 1, when: ["script_failure"], exitCodes: [3] } },
    ],
    ["retry: { max: 1, exit_codes: 3 }", { retry: { max: 1, when: [], exitCodes: [3] } }],
    ["timeout: 1h 30m", { timeoutSeconds: 5400 }],
    ["timeout: 90", { timeoutSeconds: 90 }],
    ["needs: []", { needs: [] }],
    ["dependencies: []", { dependencies: [] }],
    ["artifacts: {}", { artifacts: noArtifacts as PipelineJob["artifacts"] }],
    [
      `artifacts: ${fullArtifacts}`,
      {
        artifacts: {
          name: "n",
          paths: ["p"],
          exclude: ["e"],
          untracked: true,
          when: "always",
          expireIn: "1 day",
          reports: { junit: ["j.xml"], dotenv: ["a.env", "b.env"], sast: ["s.json"] },
        },
      },
    ],
    [
      "artifacts: { expire_in: never }",
      { artifacts: { ...noArtifacts, expireIn: "never" } as PipelineJob["artifacts"] },
    ],
    [
      "artifacts: { reports: { coverage_report: { coverage_format: cobertura, path: c.xml } } }",
      { artifacts: { ...noArtifacts, reports: { coverage_report: ["c.xml"] } } as PipelineJob["artifacts"] },
    ],
    ["cache: []", { cache: [] }],
    ["cache: { paths: [p] }", { cache: [{ ...defaultCache, paths: ["p"] }] as PipelineJob["cache"] }],
    [
      "cache: { key: k, paths: [p], untracked: true, policy: pull, when: always, fallback_keys: [f/g, ..], unprotect: true }",
      {
        cache: [
          {
            key: { kind: "text", text: "k" },
            paths: ["p"],
            untracked: true,
            policy: "pull",
            when: "always",
            fallbackKeys: ["f/g", ".."],
            unprotect: true,
          },
        ],
      },
    ],
    [
      "cache: [{ key: { files: [/a.lock, b], prefix: p } }, { key: { files_commits: [c] } }]",
      {
        cache: [
          { ...defaultCache, key: { kind: "files", files: ["a.lock", "b"], prefix: "p" } },
          { ...defaultCache, key: { kind: "files_commits", files: ["c"], prefix: undefined } },
        ] as PipelineJob["cache"],
      },
    ],
    [
      "cache: { key: { files: [a], prefix: '' }, policy: $P }",
      {
        cache: [
          { ...defaultCache, key: { kind: "files", files: ["a"], prefix: "" }, policy: "$P" },
        ] as PipelineJob["cache"],
      },
    ],
    ["image: node:24", { image: { name: "node:24" } }],
    [
      "image: { name: n, entrypoint: [''], pull_policy: if-not-present, docker: { platform: linux/arm64, user: me } }",
      {
        image: {
          name: "n",
          entrypoint: [""],
          pullPolicy: ["if-not-present"],
          dockerOptions: { platform: "linux/arm64", user: "me" },
        },
      },
    ],
    [
      "services: [redis, { name: pg, alias: db, command: [-v], entrypoint: [e], variables: { A: 1 }, pull_policy: [always, never] }]",
      {
        services: [
          { name: "redis" },
          {
            name: "pg",
            alias: "db",
            command: ["-v"],
            entrypoint: ["e"],
            variables: [{ key: "A", value: "1", raw: false }],
            pullPolicy: ["always", "never"],
          },
        ],
      },
    ],
    ["tags: [a, $B]", { tags: ["a", "$B"] }],
    ["resource_group: r-$CI_COMMIT_REF_NAME", { resourceGroup: "r-main" }],
    ["interruptible: true", { interruptible: true }],
    ["environment: e-$CI_COMMIT_REF_NAME", { environment: { name: "e-main", url: undefined } }],
    [
      "environment: { name: e, url: $URL, action: prepare, deployment_tier: staging }",
      { environment: { name: "e", url: "$URL", action: "prepare", tier: "staging" } },
    ],
    ["hooks: { pre_get_sources_script: [h] }", { hooks: { preGetSources: ["h"] } }],
    ["timeout: null\n  cache:", { timeoutSeconds: undefined, cache: [] }],
  ])("%s", async (body, expected) => {
    const script = body.startsWith("script:") ? "" : "  script: x\n";
    expect(await resolveJob(`a:\n${script}  ${body}\n`)).toMatchObject(expected);
  });
});

describe("parallel", () => {
  it("makes numbered jobs that others need by their common name", async () => {
    const { jobs } = await resolve(
      "a: {script: x, parallel: 3}\nb: {script: x, needs: [a]}\nc: {script: x, stage: deploy, dependencies: [a]}\n",
    );
    expect(jobs.map((job) => [job.name, job.baseName, job.parallel])).toEqual([
      ["a 1/3", "a", { index: 1, total: 3 }],
      ["a 2/3", "a", { index: 2, total: 3 }],
      ["a 3/3", "a", { index: 3, total: 3 }],
      ["b", "b", undefined],
      ["c", "c", undefined],
    ]);
    expect(jobs[3]?.needs?.map((need) => need.job)).toEqual(["a 1/3", "a 2/3", "a 3/3"]);
    expect(jobs[4]?.dependencies).toEqual(["a 1/3", "a 2/3", "a 3/3"]);
  });

  it("makes one job for each combination of a matrix, with its variables", async () => {
    const { jobs } = await resolve(
      "a:\n  script: x\n  variables: {V: 0}\n  parallel:\n    matrix:\n      - {P: [a, b], V: [1, 2]}\n      - {P: c}\n",
    );
    expect(jobs.map((job) => job.name)).toEqual(["a: [a, 1]", "a: [a, 2]", "a: [b, 1]", "a: [b, 2]", "a: [c]"]);
    expect(jobs[3]?.variables.map(({ key, value }) => `${key}=${value}`)).toEqual(["V=2", "P=b"]);
    expect(jobs[4]?.variables.map(({ key, value }) => `${key}=${value}`)).toEqual(["V=0", "P=c"]);
    expect(jobs[4]?.parallel).toEqual({ index: 5, total: 5 });
  });

  it("lets rules choose among matrix jobs, and needs among their variables", async () => {
    const { jobs } = await resolve(
      [
        "a: {script: x, parallel: {matrix: [{P: [one, two, three]}]}, rules: [{if: $P != 'two'}]}",
        "b: {script: x, needs: [{job: a, parallel: {matrix: [{P: [three]}]}}]}",
        "c: {script: x, needs: ['a: [one]']}",
      ].join("\n"),
    );
    expect(jobs.map((job) => [job.name, job.needs?.map((need) => need.job)])).toEqual([
      ["a: [one]", undefined],
      ["a: [three]", undefined],
      ["b", ["a: [three]"]],
      ["c", ["a: [one]"]],
    ]);
  });
});

describe("needs", () => {
  it("keeps artifacts and optional, and allows jobs of the same stage", async () => {
    const { jobs } = await resolve(
      "a: {script: x}\nb: {script: x, needs: [{job: a, artifacts: false}, {job: missing, optional: true}]}\n",
    );
    expect(jobs[1]?.needs).toEqual([{ job: "a", artifacts: false, optional: false }]);
  });

  it("accepts exactly 50", async () => {
    const names = Array.from({ length: 50 }, (_, index) => `j${index}`);
    const { jobs } = await resolve(
      `${names.map((name) => `${name}: {script: x}`).join("\n")}\na: {script: x, needs: [${names.join(", ")}]}\n`,
    );
    expect(jobs.at(-1)?.needs).toHaveLength(50);
  });
});

describe("stages", () => {
  it("orders jobs by stage, then by file, with .pre and .post only where they are used", async () => {
    const pipeline = await resolve(
      "stages: [one, two]\nz: {script: x, stage: .post}\nb: {script: x, stage: two}\na: {script: x, stage: one}\nc: {script: x, stage: one}\n",
    );
    expect(pipeline.stages).toEqual(["one", "two", ".post"]);
    expect(pipeline.jobs.map((job) => job.name)).toEqual(["a", "c", "b", "z"]);
  });

  it("are build, test, deploy unless the file says otherwise", async () => {
    expect((await resolve("a: {script: x, stage: .pre}\nb: {script: x}\n")).stages).toEqual([
      ".pre",
      "build",
      "test",
      "deploy",
    ]);
  });
});

describe("default and inherit", () => {
  const defaults =
    "default:\n  image: d\n  tags: [d]\n  before_script: [d]\n  retry: 1\n  timeout: 1h\n  interruptible: true\n  cache: {key: d}\n  services: [s]\n  hooks: {pre_get_sources_script: [h]}\n  artifacts: {paths: [p]}\n  after_script: [d]\nvariables: {A: a, B: b}\n";

  it("fill what the job does not set; the job's value replaces", async () => {
    expect(await resolveJob(`${defaults}a: {script: x, tags: [own], before_script: []}\n`)).toMatchObject({
      image: { name: "d" },
      tags: ["own"],
      beforeScript: [],
      afterScript: ["d"],
      retry: { max: 1 },
      timeoutSeconds: 3600,
      interruptible: true,
      cache: [{ key: { text: "d" } }],
      services: [{ name: "s" }],
      hooks: { preGetSources: ["h"] },
      artifacts: { paths: ["p"] },
      variables: [{ key: "A" }, { key: "B" }],
    });
  });

  it("can be refused as a whole or by name", async () => {
    expect(await resolveJob(`${defaults}a: {script: x, inherit: {default: false, variables: [B]}}\n`)).toMatchObject({
      image: undefined,
      tags: [],
      variables: [{ key: "B" }],
    });
    expect(
      await resolveJob(`${defaults}a: {script: x, inherit: {default: [image], variables: false}}\n`),
    ).toMatchObject({ image: { name: "d" }, tags: [], variables: [] });
  });

  it("have an older form at the top of the file", async () => {
    expect(
      await resolveJob(
        "image: i\nservices: [s]\ncache: {key: k}\nbefore_script: [b]\nafter_script: [c]\na: {script: x}\n",
      ),
    ).toMatchObject({
      image: { name: "i" },
      services: [{ name: "s" }],
      cache: [{ key: { text: "k" } }],
      beforeScript: ["b"],
      afterScript: ["c"],
    });
  });
});

describe("templates", () => {
  it("resolves anchors and merge keys, the own key wins, the earlier of two merged maps too", async () => {
    const text =
      ".x: &x {stage: build, tags: [x]}\n.y: &y {tags: [y], timeout: 5m}\na:\n  <<: [*x, *y]\n  stage: deploy\n  script: &s [one]\nb:\n  script: [*s, two]\n";
    expect(await resolveJob(text)).toMatchObject({ stage: "deploy", tags: ["x"], timeoutSeconds: 300 });
    expect((await resolve(text)).jobs.find((job) => job.name === "b")?.script).toEqual(["one", "two"]);
  });

  it("merges the bases of extends deeply, later ones and the job itself win, lists are replaced", async () => {
    const text =
      ".x: {variables: {A: x, B: x}, tags: [x], script: [x]}\n.y: {variables: {B: y, C: y}, tags: [y]}\na: {extends: [.x, .y], variables: {C: a}}\n";
    const job = await resolveJob(text);
    expect(job).toMatchObject({ script: ["x"], tags: ["y"], source: { line: 3 } });
    expect(job.variables.map(({ key, value }) => `${key}=${value}`)).toEqual(["A=x", "B=y", "C=a"]);
  });

  it.each([
    [11, 0],
    [12, 1],
  ])("extends %i levels: %i errors", async (levels, count) => {
    const bases = Array.from(
      { length: levels },
      (_, index) =>
        `.t${index + 1}: {${index + 1 < levels ? `extends: .t${index + 2}, ` : "tags: [deep], "}timeout: 1h}`,
    );
    const { errors, pipeline } = await resolvePipeline({
      file: "f",
      readFile: async () => `a: {extends: .t1, script: x}\n${bases.join("\n")}\n`,
      variables: { CI_COMMIT_BRANCH: "m" },
    });
    expect(errors).toHaveLength(count);
    expect(pipeline?.jobs[0]?.tags).toEqual(count === 0 ? ["deep"] : undefined);
  });

  it("looks up references after extends, also nested ones, and keeps single values", async () => {
    const text =
      ".x: {script: [one, !reference [.y, script]], variables: {V: v}}\n.y: {script: [two]}\na:\n  script: [!reference [.x, script], three]\n  variables: {W: !reference [.x, variables, V]}\n";
    expect(await resolveJob(text)).toMatchObject({
      script: ["one", "two", "three"],
      variables: [{ key: "W", value: "v" }],
    });
  });

  it.each([
    [9, 0],
    [10, 1],
  ])("follows %i references to references: %i errors", async (hops, count) => {
    const chain = Array.from(
      { length: hops },
      (_, index) => `.t${index}: {script: !reference [.t${index + 1}, script]}`,
    );
    const text = `a: {script: !reference [.t0, script]}\n${chain.join("\n")}\n.t${hops}: {script: [end]}\n`;
    const { errors } = await resolvePipeline({
      file: "f",
      readFile: async () => text,
      variables: { CI_COMMIT_BRANCH: "m" },
    });
    expect(errors.filter((error) => error.code === "reference")).toHaveLength(count);
  });
});
