import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import type { CacheEntry, Pipeline, PipelineJob } from "@fleetfoot/ci-config";
import type { JobPayload } from "@fleetfoot/coordinator-client";
import { afterEach, describe, expect, it } from "vitest";

import type { CoordinatorEvent } from "../events.ts";
import { plainJob } from "../test-support/plain-job.ts";
import type { ReferenceCalls } from "../testing/reference-calls.ts";
import { createReferenceCalls, sendToHandler } from "../testing/reference-calls.ts";
import type { TestCoordinator, TestCoordinatorOptions } from "../testing/test-coordinator.ts";
import { createTestCoordinator } from "../testing/test-coordinator.ts";
import type { PipelineRun, StartPipelineOptions } from "./pipeline-run.ts";

const token = "glrt-test";
const sha = "0123456789abcdef0123456789abcdef01234567";
const open: TestCoordinator[] = [];

afterEach(async () => {
  await Promise.all(open.splice(0).map((test) => test.close()));
});

interface Setup extends TestCoordinator {
  readonly runner: ReferenceCalls;
  /** Takes a job and confirms it; fails when there is none. */
  take(): Promise<JobPayload>;
  /** Takes the next job and ends it. */
  run(update?: Readonly<Record<string, unknown>>): Promise<JobPayload>;
  start(jobs: readonly Partial<PipelineJob>[], options?: Partial<StartPipelineOptions>): PipelineRun;
}

async function setUp(options: TestCoordinatorOptions = {}): Promise<Setup> {
  const test = await createTestCoordinator({ runners: [{ token }], ...options });
  open.push(test);
  const runner = createReferenceCalls({ send: sendToHandler(test.handle), token });
  const take = async (): Promise<JobPayload> => {
    const { job } = await runner.requestJob();
    if (job === undefined) throw new Error("no job was handed out");
    expect((await runner.updateJob(job, { state: "running" })).status).toBe(200);
    return job;
  };
  return {
    ...test,
    runner,
    take,
    run: async (update = success) => {
      const job = await take();
      expect((await runner.updateJob(job, update)).status).toBe(200);
      return job;
    },
    start: (jobs, pipelineOptions = {}) =>
      test.coordinator.startPipeline({
        pipeline: pipelineOf(jobs),
        project: { id: 7, fullPath: "group/sub/project" },
        commit: { sha, ref: "main", message: "Title\n\nMore" },
        repositoryUrl: "http://git.localhost/group/sub/project.git",
        ...pipelineOptions,
      }),
  };
}

const success = { state: "success" };
const failed = (exitCode = 1): Readonly<Record<string, unknown>> => ({
  state: "failed",
  failure_reason: "script_failure",
  exit_code: exitCode,
});

function pipelineOf(jobs: readonly Partial<PipelineJob>[]): Pipeline {
  return {
    name: undefined,
    stages: [".pre", "build", "test", "deploy", ".post"],
    jobs: jobs.map((job) => ({ ...plainJob, ...job, baseName: job.baseName ?? job.name ?? plainJob.name })),
  };
}

const artifacts = {
  name: undefined,
  paths: ["out/"],
  exclude: [],
  untracked: false,
  when: "on_success",
  expireIn: undefined,
  reports: {},
} as const;

function cacheOf(key: string, more: Partial<CacheEntry> = {}): CacheEntry {
  return {
    key: { kind: "text", text: key },
    paths: ["vendor"],
    untracked: false,
    policy: "pull-push",
    when: "on_success",
    fallbackKeys: [],
    unprotect: false,
    ...more,
  };
}

function need(
  job: string,
  more: { artifacts?: boolean; optional?: boolean } = {},
): NonNullable<PipelineJob["needs"]>[number] {
  return { job, artifacts: true, optional: false, ...more };
}

/** The value that counts: the last one. */
function valueOf(job: JobPayload, key: string): string | undefined {
  return job.variables.findLast((variable) => variable.key === key)?.value;
}

function statuses(run: PipelineRun): Record<string, string> {
  return Object.fromEntries(run.jobs.map(({ name, status }) => [name, status]));
}

describe("the order of jobs", () => {
  it("JE 61: with needs a -> c and an independent slow b, c starts before b ends", async () => {
    const { start, take, runner, coordinator } = await setUp();
    const pipeline = start([
      { name: "a", stage: "build" },
      { name: "b", stage: "build" },
      { name: "c", stage: "test", needs: [need("a")] },
      { name: "d", stage: "test" },
    ]);
    const a = await take();
    const b = await take();
    expect([a.job_info.name, b.job_info.name]).toEqual(["a", "b"]);
    expect((await runner.requestJob()).status).toBe(204);
    await runner.updateJob(a, success);
    const c = await take();
    expect(c.job_info.name).toBe("c");
    expect(coordinator.job(b.id)?.status).toBe("running");
    // Without needs a job waits for the whole stage.
    expect(statuses(pipeline)).toEqual({ a: "success", b: "running", c: "running", d: "created" });
    await runner.updateJob(c, success);
    await runner.updateJob(b, success);
    await runner.updateJob(await take(), success);
    expect((await pipeline.finished).status).toBe("success");
  });

  it.each([
    { exitCode: 42, status: "success", passedWithWarnings: true },
    { exitCode: 43, status: "failed", passedWithWarnings: false },
  ])(
    "JE 64: allow_failure exit_codes [42] and exit $exitCode: the pipeline is $status, with warnings: $passedWithWarnings",
    async ({ exitCode, status, passedWithWarnings }) => {
      const { start, run } = await setUp();
      const pipeline = start([{ name: "lint", allowFailure: { allowed: true, exitCodes: [42] } }]);
      await run(failed(exitCode));
      const result = await pipeline.finished;
      expect(result).toMatchObject({ status, passedWithWarnings });
      expect(result.jobs).toMatchObject([{ status: "failed", exitCode, allowedToFail: passedWithWarnings }]);
    },
  );

  it("runs later stages after a failure only where jobs ask for it", async () => {
    const { start, run } = await setUp();
    const pipeline = start([
      { name: "a", stage: "build" },
      { name: "b", stage: "test" },
      { name: "c", stage: "test", when: "on_failure" },
      { name: "d", stage: "deploy", when: "always" },
    ]);
    await run(failed());
    expect((await run()).job_info.name).toBe("c");
    expect((await run()).job_info.name).toBe("d");
    const result = await pipeline.finished;
    expect(result.status).toBe("failed");
    expect(statuses(pipeline)).toEqual({ a: "failed", b: "skipped", c: "success", d: "success" });
  });

  it("retries a failed job as a new one with another token, and counts the last attempt", async () => {
    const { start, take, runner } = await setUp();
    const pipeline = start([
      { name: "flaky", stage: "build", retry: { max: 1, when: ["always"], exitCodes: [] } },
      { name: "after", stage: "test" },
    ]);
    const first = await take();
    await runner.updateJob(first, failed());
    const second = await take();
    expect(second.job_info.name).toBe("flaky");
    expect(second.id).not.toBe(first.id);
    expect(second.token).not.toBe(first.token);
    await runner.updateJob(second, success);
    await runner.updateJob(await take(), success);
    const result = await pipeline.finished;
    expect(result).toMatchObject({ status: "success", passedWithWarnings: false });
    expect(result.jobs[0]).toMatchObject({ id: second.id, status: "success", retryOf: first.id });
    expect(result.retried).toMatchObject([{ id: first.id, status: "failed", retriedBy: second.id }]);
  });

  it("leaves manual jobs alone unless they are asked for, before or during the run", async () => {
    const manual = { when: "manual", allowFailure: { allowed: true, exitCodes: [] } } as const;
    const { start, run, runner } = await setUp();
    const pipeline = start(
      [
        { name: "build", stage: "build" },
        { name: "asked", baseName: "asked", stage: "test", ...manual },
        { name: "later", stage: "test", ...manual },
        { name: "never", stage: "test", ...manual },
        { name: "last", stage: "deploy" },
      ],
      { play: ["asked"] },
    );
    expect(pipeline.play("later")).toBe(false);
    await run();
    const asked = await run();
    expect(asked.job_info.name).toBe("asked");
    expect(valueOf(asked, "CI_JOB_MANUAL")).toBe("true");
    expect(pipeline.play("later")).toBe(true);
    expect(pipeline.play("later")).toBe(false);
    expect((await run()).job_info.name).toBe("last");
    expect((await run()).job_info.name).toBe("later");
    expect((await runner.requestJob()).status).toBe(204);
    expect((await pipeline.finished).status).toBe("success");
    expect(statuses(pipeline)).toMatchObject({ asked: "success", later: "success", never: "manual", last: "success" });
    expect(pipeline.play("never")).toBe(false);
  });

  it("stops at a manual job that others wait for, and says so", async () => {
    const { start, run } = await setUp();
    const pipeline = start([
      { name: "build", stage: "build" },
      { name: "gate", stage: "test", when: "manual" },
      { name: "deploy", stage: "deploy" },
    ]);
    await run();
    expect((await pipeline.finished).status).toBe("manual");
    expect(statuses(pipeline)).toEqual({ build: "success", gate: "manual", deploy: "skipped" });
  });

  it("starts delayed jobs after their time, or at once when delays are ignored", async () => {
    const slept: number[] = [];
    const over = Promise.withResolvers<void>();
    const { start, run, runner } = await setUp({
      twoPhaseCommit: false,
      sleep: (milliseconds) => {
        slept.push(milliseconds);
        return over.promise;
      },
    });
    const delayed = { name: "soon", when: "delayed", startInMs: 5000 } as const;
    const pipeline = start([delayed]);
    expect(statuses(pipeline)).toEqual({ soon: "scheduled" });
    expect((await runner.requestJob()).status).toBe(204);
    expect(slept).toEqual([5000]);
    over.resolve();
    await over.promise;
    expect(statuses(pipeline)).toEqual({ soon: "pending" });
    await run();
    expect((await pipeline.finished).status).toBe("success");
    expect(statuses(start([delayed], { ignoreDelays: true }))).toEqual({ soon: "pending" });
  });

  it("does not wait for a delayed job once its pipeline is cancelled", async () => {
    const signals: AbortSignal[] = [];
    const { start } = await setUp({
      sleep: (_, signal) => {
        signals.push(signal);
        return new Promise(() => undefined);
      },
    });
    const pipeline = start([{ name: "soon", when: "delayed", startInMs: 5000 }]);
    pipeline.cancel();
    expect((await pipeline.finished).status).toBe("canceled");
    expect(signals.map(({ aborted }) => aborted)).toEqual([true]);
  });

  it("runs one job of a resource group at a time, also across pipelines", async () => {
    const { start, run } = await setUp();
    const deploy = { name: "deploy", resourceGroup: "$TARGET" } as const;
    const variables = [{ key: "TARGET", value: "prod" }];
    const first = start([deploy], { variables });
    const second = start([deploy], { variables });
    const other = start([deploy], { variables: [{ key: "TARGET", value: "staging" }] });
    expect([first, second, other].map(statuses)).toEqual([
      { deploy: "pending" },
      { deploy: "waiting_for_resource" },
      { deploy: "pending" },
    ]);
    await run(failed());
    expect(statuses(second)).toEqual({ deploy: "pending" });
    await run();
    await run();
    expect((await second.finished).status).toBe("success");
  });

  it("cancels what waits at once and asks what runs to stop", async () => {
    const { start, take, runner } = await setUp();
    const pipeline = start([
      { name: "a", stage: "build" },
      { name: "b", stage: "build" },
      { name: "c", stage: "test", when: "always" },
    ]);
    const a = await take();
    pipeline.cancel();
    expect(statuses(pipeline)).toEqual({ a: "canceling", b: "canceled", c: "canceled" });
    expect(pipeline.status).toBe("running");
    await runner.updateJob(a, failed());
    expect((await pipeline.finished).status).toBe("canceled");

    const forced = start([{ name: "a" }]);
    await take();
    forced.cancel({ force: true });
    expect((await forced.finished).status).toBe("canceled");
  });

  it("finishes a pipeline without jobs, and ends pipelines when the coordinator closes", async () => {
    const { start, take, coordinator } = await setUp();
    expect((await start([]).finished).status).toBe("success");
    const pipeline = start([{ name: "a", stage: "build" }, { name: "b" }]);
    await take();
    await coordinator.close();
    expect((await pipeline.finished).status).toBe("canceled");
  });

  it("tells a listener every change in order, and keeps a summary in the state directory", async () => {
    const events: CoordinatorEvent[] = [];
    const { start, take, runner, coordinator } = await setUp();
    const stop = coordinator.subscribe((event) => events.push(event));
    const pipeline = start([{ name: "a" }]);
    const job = await take();
    await runner.patchTrace(job, 0, "log\n");
    await runner.updateJob(job, success);
    await pipeline.finished;
    expect(
      events.map((event) =>
        event.kind === "job-state" ? `${event.previous ?? "-"} -> ${event.job.status}` : event.kind,
      ),
    ).toEqual([
      "- -> created",
      "created -> pending",
      "runner",
      "pending -> running",
      "trace",
      "running -> success",
      "pipeline-finished",
    ]);
    expect(events[2]).toMatchObject({ change: "machine-added", runner: { id: 1, systemIds: ["s_0a1b2c3d4e5f"] } });
    stop();
    start([{ name: "unheard" }]);
    expect(events).toHaveLength(7);
    const { path } = coordinator.job(job.id)?.trace ?? { path: "" };
    await coordinator.close();
    const summary: unknown = JSON.parse(
      await readFile(path.replace(/jobs\/.*$/, `pipelines/${pipeline.id}.json`), "utf8"),
    );
    expect(summary).toMatchObject({
      id: pipeline.id,
      status: "success",
      ref: "main",
      jobs: [{ name: "a", status: "success" }],
    });
  });
});

describe("the payload of a job", () => {
  it("has everything that the runner needs", async () => {
    const { start, take } = await setUp();
    const pipeline = start([
      {
        name: "unit 2/3",
        baseName: "unit",
        beforeScript: ["npm ci"],
        script: ["npm test"],
        afterScript: ["rm -rf tmp"],
        timeoutSeconds: 90,
        parallel: { index: 2, total: 3 },
        image: {
          name: "node:$NODE",
          entrypoint: [""],
          pullPolicy: ["always"],
          dockerOptions: { platform: "linux/arm64", user: "ci" },
        },
        services: [{ name: "postgres:16", alias: "db", variables: [{ key: "A", value: "b", raw: false }] }],
        hooks: { preGetSources: ["git config x"] },
        variables: [{ key: "GIT_DEPTH", value: "5", raw: false }],
      },
    ]);
    const job = await take();
    expect(job).toMatchObject({
      allow_git_fetch: true,
      job_info: {
        name: "unit 2/3",
        stage: "test",
        pipeline_id: pipeline.id,
        project_id: 7,
        project_name: "project",
        project_full_path: "group/sub/project",
      },
      git_info: {
        repo_url: `http://gitlab-ci-token:${job.token}@git.localhost/group/sub/project.git`,
        ref: "main",
        sha,
        ref_type: "branch",
        depth: 5,
        refspecs: ["+refs/heads/main:refs/remotes/origin/main"],
        protected: false,
      },
      runner_info: { timeout: 90 },
      steps: [
        { name: "script", script: ["npm ci", "npm test"], timeout: 90, when: "on_success", allow_failure: false },
        { name: "after_script", script: ["rm -rf tmp"], timeout: 90, when: "always", allow_failure: true },
      ],
      image: {
        name: "node:$NODE",
        entrypoint: [""],
        pull_policy: ["always"],
        executor_opts: { docker: { platform: "linux/arm64", user: "ci" } },
      },
      services: [{ name: "postgres:16", alias: "db", variables: [{ key: "A", value: "b" }] }],
      hooks: [{ name: "pre_get_sources_script", script: ["git config x"] }],
      dependencies: [],
      artifacts: [],
      cache: [],
    });
    expect(job.features.failure_reasons).toContain("image_pull_failure");
    expect([valueOf(job, "CI_NODE_INDEX"), valueOf(job, "CI_NODE_TOTAL")]).toEqual(["2", "3"]);
  });

  it("orders variables: predefined, configuration, dotenv, given from outside", async () => {
    const { start, take, runner, run } = await setUp();
    start(
      [
        { name: "make", stage: "build" },
        {
          name: "use",
          variables: [
            { key: "FROM_FILE", value: "file", raw: true },
            { key: "BOTH", value: "file", raw: false },
            { key: "ALL", value: "file", raw: false },
            { key: "CI_COMMIT_REF_NAME", value: "mine", raw: false },
          ],
        },
      ],
      {
        variables: [
          { key: "ALL", value: "project" },
          { key: "ALL", value: "given", masked: true },
          { key: "KEY", value: "content", file: true, raw: true },
          { key: "ONLY_PROTECTED", value: "secret", protected: true },
        ],
      },
    );
    const maker = await take();
    const report = gzipSync("BOTH=dotenv\nALL=dotenv\n");
    await runner.uploadArtifacts(maker, { fileName: ".env.gz", content: report, type: "dotenv", format: "gzip" });
    await runner.updateJob(maker, success);
    const job = await run();
    const values = ["FROM_FILE", "BOTH", "ALL", "CI_COMMIT_REF_NAME", "ONLY_PROTECTED"].map((key) => valueOf(job, key));
    expect(values).toEqual(["file", "dotenv", "given", "mine", undefined]);
    expect(job.variables).toContainEqual({ key: "FROM_FILE", value: "file", public: true, masked: false, raw: true });
    expect(job.variables.findLast(({ key }) => key === "ALL")).toMatchObject({ masked: true, public: false });
    expect(job.variables.findLast(({ key }) => key === "KEY")).toMatchObject({ file: true, raw: true });
    const keys = job.variables.map(({ key }) => key);
    expect(keys.indexOf("CI")).toBeLessThan(keys.indexOf("FROM_FILE"));
    expect(keys.indexOf("FROM_FILE")).toBeLessThan(keys.lastIndexOf("ALL"));
  });

  it("has the predefined variables, and the job's token as the only masked one", async () => {
    const { start, take } = await setUp({ url: "https://ci.example.org:8443/" });
    const pipeline = start(
      [{ name: "deploy: [eu]", environment: { name: "review/x", url: "https://$CI_ENVIRONMENT_SLUG.$DOMAIN" } }],
      {
        variables: [{ key: "DOMAIN", value: "example.org" }],
        commit: { sha, ref: "Feature/One", message: "Title\n\nMore\ntext", protected: true, author: "A <a@b>" },
        user: { id: 3, login: "ada", name: "Ada", email: "ada@example.org" },
      },
    );
    const job = await take();
    const values = Object.fromEntries(job.variables.map(({ key, value }) => [key, value]));
    expect(values).toMatchObject({
      CI: "true",
      GITLAB_CI: "true",
      CI_SERVER_URL: "https://ci.example.org:8443",
      CI_SERVER_HOST: "ci.example.org",
      CI_SERVER_PORT: "8443",
      CI_SERVER_PROTOCOL: "https",
      CI_API_V4_URL: "https://ci.example.org:8443/api/v4",
      CI_PIPELINE_ID: String(pipeline.id),
      CI_PIPELINE_IID: String(pipeline.id),
      CI_PIPELINE_SOURCE: "push",
      CI_PIPELINE_URL: `https://ci.example.org:8443/group/sub/project/-/pipelines/${pipeline.id}`,
      CI_PROJECT_ID: "7",
      CI_PROJECT_NAME: "project",
      CI_PROJECT_NAMESPACE: "group/sub",
      CI_PROJECT_PATH: "group/sub/project",
      CI_PROJECT_PATH_SLUG: "group-sub-project",
      CI_PROJECT_URL: "https://ci.example.org:8443/group/sub/project",
      CI_DEFAULT_BRANCH: "main",
      CI_COMMIT_SHA: sha,
      CI_COMMIT_SHORT_SHA: "01234567",
      CI_COMMIT_BRANCH: "Feature/One",
      CI_COMMIT_REF_NAME: "Feature/One",
      CI_COMMIT_REF_SLUG: "feature-one",
      CI_COMMIT_REF_PROTECTED: "true",
      CI_COMMIT_TITLE: "Title",
      CI_COMMIT_MESSAGE: "Title\n\nMore\ntext",
      CI_COMMIT_DESCRIPTION: "More\ntext",
      CI_JOB_ID: String(job.id),
      CI_JOB_NAME: "deploy: [eu]",
      CI_JOB_NAME_SLUG: "deploy---eu",
      CI_JOB_STAGE: "test",
      CI_JOB_TOKEN: job.token,
      CI_JOB_URL: `https://ci.example.org:8443/group/sub/project/-/jobs/${job.id}`,
      CI_REPOSITORY_URL: `http://gitlab-ci-token:${job.token}@git.localhost/group/sub/project.git`,
      CI_ENVIRONMENT_NAME: "review/x",
      CI_ENVIRONMENT_URL: expect.stringMatching(/^https:\/\/review-x-[0-9a-z]{6}\.example\.org$/) as string,
      GITLAB_USER_LOGIN: "ada",
      GITLAB_USER_EMAIL: "ada@example.org",
    });
    // The runner knows better where the project lies, and what the server says wins.
    expect(values).not.toHaveProperty("CI_PROJECT_DIR");
    expect(values).not.toHaveProperty("CI_COMMIT_TAG");
    expect(job.variables.filter(({ masked }) => masked).map(({ key }) => key)).toEqual(["CI_JOB_TOKEN"]);
  });

  it("describes tags, merge requests and a registry", async () => {
    const { start, take, run } = await setUp();
    start([{ name: "tagged" }], { commit: { sha, ref: "v1", refType: "tag" } });
    const tagged = await run();
    expect([valueOf(tagged, "CI_COMMIT_TAG"), valueOf(tagged, "CI_COMMIT_BRANCH")]).toEqual(["v1", undefined]);
    start([{ name: "merge" }], {
      source: "merge_request_event",
      mergeRequest: { id: 11, iid: 4, sourceBranch: "feat" },
      project: { id: 7, fullPath: "g/P", registry: { host: "r.example.org", user: "u", password: "pw" } },
    });
    const merge = await take();
    expect(
      ["CI_PIPELINE_SOURCE", "CI_MERGE_REQUEST_IID", "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME"].map((key) =>
        valueOf(merge, key),
      ),
    ).toEqual(["merge_request_event", "4", "feat"]);
    expect([valueOf(merge, "CI_MERGE_REQUEST_TARGET_BRANCH_NAME"), valueOf(merge, "CI_COMMIT_BRANCH")]).toEqual([
      "main",
      undefined,
    ]);
    expect(valueOf(merge, "CI_REGISTRY_IMAGE")).toBe("r.example.org/g/p");
    expect(merge.variables.find(({ key }) => key === "CI_REGISTRY_PASSWORD")).toMatchObject({
      masked: true,
      public: false,
    });
    expect(merge.credentials).toEqual([{ type: "registry", url: "r.example.org", username: "u", password: "pw" }]);
  });

  it("uploads the archive and every report on its own, with the usual names and formats", async () => {
    const { start, take } = await setUp();
    start([
      {
        artifacts: {
          ...artifacts,
          name: "$CI_JOB_NAME",
          exclude: ["out/tmp"],
          when: "on_failure",
          expireIn: "1 week",
          reports: {
            junit: ["a.xml", "b.xml"],
            dotenv: [".env"],
            sast: ["s.json"],
            lsif: ["dump"],
            scip: ["i"],
            nonsense: ["x"],
          },
        },
      },
    ]);
    expect((await take()).artifacts).toEqual([
      {
        name: "$CI_JOB_NAME",
        untracked: false,
        paths: ["out/"],
        exclude: ["out/tmp"],
        when: "on_failure",
        artifact_type: "archive",
        artifact_format: "zip",
        expire_in: "1 week",
      },
      report("junit", "gzip", ["a.xml", "b.xml"], "junit.xml"),
      report("dotenv", "gzip", [".env"], ".env"),
      report("sast", "raw", ["s.json"], "gl-sast-report.json"),
      report("lsif", "zip", ["dump"], "lsif.json"),
      report("scip", "zip", ["i"]),
    ]);
    function report(type: string, format: string, paths: readonly string[], name?: string): unknown {
      const named = name === undefined ? {} : { name };
      const rest = { artifact_type: type, artifact_format: format, expire_in: "1 week" };
      return { ...named, untracked: false, paths, when: "always", ...rest };
    }
  });

  it("names the jobs whose artifacts it gets, with their tokens and files", async () => {
    const { start, take, runner, run } = await setUp();
    const content = Buffer.from("zip");
    const reading = { stage: "test" } as const;
    start([
      { name: "one 1/2", baseName: "one", stage: "build" },
      { name: "two", stage: "build" },
      { name: "all", ...reading },
      { name: "none", ...reading, dependencies: [] },
      { name: "by base name", ...reading, dependencies: ["one"] },
      { name: "needs", ...reading, needs: [need("one 1/2", { artifacts: false }), need("two")] },
    ]);
    const one = await take();
    await runner.uploadArtifacts(one, { fileName: "artifacts.zip", content });
    const dotenv = gzipSync("VERSION=7\n");
    await runner.uploadArtifacts(one, { fileName: ".env.gz", content: dotenv, type: "dotenv", format: "gzip" });
    await runner.updateJob(one, success);
    const two = await run();
    const taken = new Map<string, JobPayload>();
    for (let count = 0; count < 4; count += 1) {
      const job = await run();
      taken.set(job.job_info.name, job);
    }
    const entries = {
      one: { id: one.id, name: "one 1/2", token: one.token, artifacts_file: { filename: "artifacts.zip", size: 3 } },
      two: { id: two.id, name: "two", token: two.token },
    };
    expect(taken.get("all")?.dependencies).toEqual([entries.one, entries.two]);
    expect(taken.get("none")?.dependencies).toEqual([]);
    expect(taken.get("by base name")?.dependencies).toEqual([entries.one]);
    expect(taken.get("needs")?.dependencies).toEqual([entries.two]);
    const versions = [...taken].map(([name, job]) => [name, valueOf(job, "VERSION")]);
    expect(Object.fromEntries(versions)).toEqual({ all: "7", none: undefined, "by base name": "7", needs: undefined });
    expect((await runner.downloadArtifacts(entries.one)).body.toString()).toBe("zip");
    expect((await runner.downloadArtifacts(entries.two)).status).toBe(404);
  });

  it("gives jobs of a reused tag only to runners with that tag, unless tags are ignored", async () => {
    const { start, runner } = await setUp();
    start([{ name: "docker only", tags: ["docker"] }]);
    expect((await runner.requestJob()).status).toBe(204);
    start([{ name: "any", tags: ["docker"] }], { ignoreTags: true });
    expect((await runner.requestJob()).job?.job_info.name).toBe("any");
  });

  it.each([
    { feature: "upload_multiple_artifacts", job: { artifacts: { ...artifacts, reports: { junit: ["j.xml"] } } } },
    { feature: "artifacts_exclude", job: { artifacts: { ...artifacts, exclude: ["x"] } } },
    { feature: "fallback_cache_keys", job: { cache: [cacheOf("k", { fallbackKeys: ["old"] })] } },
    { feature: "return_exit_code", job: { allowFailure: { allowed: true, exitCodes: [3] } } },
  ])("is not made for a runner that lacks $feature: the job fails", async ({ feature, job }) => {
    const { start, handle } = await setUp();
    const pipeline = start([{ ...job, allowFailure: { allowed: true, exitCodes: [], ...job.allowFailure } }]);
    const simple = createReferenceCalls({ send: sendToHandler(handle), token, features: {} });
    expect((await simple.requestJob()).status).toBe(204);
    const result = await pipeline.finished;
    expect(result.jobs[0]).toMatchObject({ status: "failed", failureReason: "runner_unsupported" });
    expect(result.jobs[0]?.message).toContain(feature);
  });

  it("that is still being made when the poll is aborted leaves the job in the queue", async () => {
    const { start, take, fetch } = await setUp({ twoPhaseCommit: false });
    const asked = Promise.withResolvers<void>();
    const answer = Promise.withResolvers<string>();
    const key = { kind: "files", files: ["a"], prefix: undefined } as const;
    const pipeline = start([{ name: "slow", cache: [cacheOf("", { key })] }], {
      blobIdOf: () => {
        asked.resolve();
        return answer.promise;
      },
    });
    const abort = new AbortController();
    const poll = fetch("http://localhost/api/v4/jobs/request", {
      method: "POST",
      body: JSON.stringify({ token }),
      signal: abort.signal,
    });
    await asked.promise;
    const reason = new Error("gone");
    abort.abort(reason);
    answer.resolve("abcd");
    await expect(poll).rejects.toBe(reason);
    expect(statuses(pipeline)).toEqual({ slow: "pending" });
    expect((await take()).job_info.name).toBe("slow");
  });

  it("that cannot be made fails the job with the reason and lets the next one go", async () => {
    const { start, take } = await setUp();
    const key = { kind: "files", files: ["a"], prefix: undefined } as const;
    const pipeline = start([{ name: "broken", cache: [cacheOf("", { key })] }, { name: "fine" }], {
      blobIdOf: () => Promise.reject(new Error("the repository is gone")),
    });
    expect((await take()).job_info.name).toBe("fine");
    expect(pipeline.jobs[0]).toMatchObject({
      status: "failed",
      failureReason: "data_integrity_failure",
      message: "the repository is gone",
    });
  });
});

describe("cache keys", () => {
  const blobs: Readonly<Record<string, string>> = {
    "Gemfile.lock": "9e9d7861c693f8d469f0028aa9a97324f280eb56",
    "yarn.lock": "9e9d7861c693f8d469f0028aa9a97324f280eb56",
    "package.json": "73d7b594bf78cba1c2f95506e0be5539cf543d84",
    "packages/a/package.json": "aaaa",
    "packages/b/package.json": "bbbb",
  };
  const files = (...paths: string[]): CacheEntry["key"] => ({ kind: "files", files: paths, prefix: undefined });
  const keysOf = (job: JobPayload): readonly string[] => job.cache.map(({ key }) => key);

  it("CA A20: of two entries with files, the second of yarn.lock and package.json, is 1_yarn_package-<sha1>", async () => {
    const { start, take } = await setUp();
    start(
      [
        {
          cache: [
            cacheOf("", { key: files("Gemfile.lock") }),
            cacheOf("", { key: files("yarn.lock", "package.json") }),
          ],
        },
      ],
      {
        blobIdOf: (path) => blobs[path],
        cache: { separateCaches: false },
      },
    );
    expect(keysOf(await take())).toEqual([
      "0_Gemfile-4cbcdfa233bd5407ddbb867c3910c1d28dc834c6",
      "1_yarn_package-a56d875999860d0dbca1f4fc190ff75c699caa2e",
    ]);
  });

  it("expand globs over the tree, drop missing files, and ask for each file once", async () => {
    const asked: string[] = [];
    const { start, take, run } = await setUp();
    const entry = (...paths: string[]): Partial<PipelineJob> => ({
      cache: [cacheOf("", { key: { kind: "files", files: paths, prefix: "p" } })],
    });
    start(
      [
        { name: "a", ...entry("packages/*/package.json") },
        { name: "b", ...entry("packages/a/package.json", "absent") },
        { name: "c", ...entry("nothing") },
      ],
      {
        blobIdOf: (path) => {
          asked.push(path);
          return Promise.resolve(blobs[path]);
        },
        listFiles: () => Object.keys(blobs),
      },
    );
    const digest = (text: string): string => createHash("sha1").update(text).digest("hex");
    expect(keysOf(await run())).toEqual([`p-${digest("aaaa-bbbb")}-non_protected`]);
    expect(keysOf(await run())).toEqual([`p-${digest("aaaa")}-non_protected`]);
    expect(keysOf(await take())).toEqual(["p-default-non_protected"]);
    expect(asked.sort()).toEqual(["absent", "nothing", "packages/a/package.json", "packages/b/package.json"]);
  });

  it("take the last commits of files where the configuration says so", async () => {
    const { start, take } = await setUp();
    start([{ cache: [cacheOf("", { key: { kind: "files_commits", files: ["a", "*"], prefix: "" } })] }], {
      lastCommitOf: (path) => `commit-of-${path}`,
    });
    const digest = createHash("sha1").update("commit-of-*-commit-of-a").digest("hex");
    expect(keysOf(await take())).toEqual([`${digest}-non_protected`]);
  });

  const gems = { cache: [cacheOf("gems", { fallbackKeys: ["old"] })] };

  it("CA A21: key gems, cleared twice, separated caches, protected ref, fallback old: gems-2-protected, old-2-protected", async () => {
    const { start, take } = await setUp();
    start([gems], { cache: { clearIndex: 2 }, commit: { sha, ref: "main", protected: true } });
    expect((await take()).cache).toEqual([
      {
        key: "gems-2-protected",
        fallback_keys: ["old-2-protected"],
        paths: ["vendor"],
        untracked: false,
        policy: "pull-push",
        when: "on_success",
      },
    ]);
  });

  it("CA A22: the same with unprotect: gems-2-non_protected", async () => {
    const { start, take } = await setUp();
    start([{ cache: [cacheOf("gems", { unprotect: true })] }], {
      cache: { clearIndex: 2 },
      commit: { sha, ref: "main", protected: true },
    });
    expect(keysOf(await take())).toEqual(["gems-2-non_protected"]);
  });

  const refs = [
    { sha, ref: "main", protected: true },
    { sha, ref: "feat" },
    { sha, ref: "v1", refType: "tag" },
  ] as const;

  it("CA A25: gems on a protected branch, another branch, a tag; and without separation gems three times with one security warning in a run", async () => {
    const events: CoordinatorEvent[] = [];
    const { start, run } = await setUp({ listener: (event) => events.push(event) });
    const separated: string[] = [];
    const together: string[] = [];
    for (const commit of refs) {
      const pipeline = start([gems], { commit });
      separated.push(...keysOf(await run()));
      expect((await pipeline.finished).warnings).toEqual([]);
    }
    for (const commit of refs) {
      const pipeline = start(
        [
          { name: "a", ...gems },
          { name: "b", ...gems },
        ],
        { commit, cache: { separateCaches: false } },
      );
      together.push(...keysOf(await run()));
      await run();
      expect((await pipeline.finished).warnings).toEqual([expect.stringMatching(/^security: /)]);
    }
    expect(separated).toEqual(["gems-protected", "gems-non_protected", "gems-non_protected"]);
    expect(together).toEqual(["gems", "gems", "gems"]);
    expect(events.filter(({ kind }) => kind === "warning")).toHaveLength(3);
    expect((await startAndFinish()).warnings).toEqual([]);

    async function startAndFinish(): Promise<{ readonly warnings: readonly string[] }> {
      const pipeline = start([{ name: "without caches" }], { cache: { separateCaches: false } });
      await run();
      return pipeline.finished;
    }
  });

  it("CA A26: clearing caches changes the names of key and fallbacks; the old objects stay", async () => {
    const { start, run, coordinator } = await setUp();
    const store = new Map<string, string>();
    const seen: unknown[] = [];
    for (const round of ["first", "second", "third"]) {
      const pipeline = start([gems], { commit: refs[0] });
      const [cache] = (await run()).cache;
      const key = cache?.key ?? "";
      const names = [key, ...(cache?.fallback_keys ?? [])];
      seen.push({ names, hit: names.some((name) => store.has(name)) });
      store.set(key, round);
      await pipeline.finished;
      await coordinator.clearCaches(7);
    }
    expect(seen).toEqual([
      { names: ["gems-protected", "old-protected"], hit: false },
      { names: ["gems-1-protected", "old-1-protected"], hit: false },
      { names: ["gems-2-protected", "old-2-protected"], hit: false },
    ]);
    expect(store.get("gems-protected")).toBe("first");
  });
});
