import { describe, expect, it } from "vitest";

import { RUNNER_FEATURES } from "../runner-info.ts";
import { Secret } from "../secret.ts";
import { dateIn } from "../test-support/fakes.ts";
import { JOB_BODY } from "../test-support/job-body.ts";
import { resetConnection, startServer } from "../test-support/recording-server.ts";
import { createTestClient, runner, RUNNER_TOKEN } from "../test-support/test-client.ts";

describe("requestJob", () => {
  it("gives the job of a 201 and says so, without the credentials of its repository", async () => {
    await using server = await startServer({ status: 201, body: JOB_BODY });
    await using test = createTestClient({ url: server.url });

    const result = await test.client.requestJob(runner);

    expect(result).toMatchObject({ healthy: true, status: 201, job: { id: 101, artifacts: [], image: null } });
    expect(result.rejection).toBeUndefined();
    expect(test.logger.lines).toMatchObject([
      { level: "debug", fields: { job: 101, repository: "http://127.0.0.1/g/p.git" } },
    ]);
    expect(JSON.stringify(test.logger.lines)).not.toContain("glcbt-test-101");
  });

  it("replaces members of the info for one runner", async () => {
    await using server = await startServer({ status: 204 });
    await using test = createTestClient({ url: server.url });

    await test.client.requestJob({ ...runner, info: { executor: "shell", labels: { zone: "eu-1" } } });

    expect(JSON.parse(String(server.requests[0]?.body))).toMatchObject({
      info: { name: "gitlab-runner", executor: "shell", labels: { zone: "eu-1" } },
      token: RUNNER_TOKEN,
      system_id: "s_0a1b2c3d4e5f",
    });
  });

  it("names the session that the runner keeps open, and keeps its secret out of log and result", async () => {
    await using server = await startServer({ status: 400, body: { message: "bad session-secret" } });
    await using test = createTestClient({ url: server.url });
    const session = {
      url: "https://h:8093/session/1",
      certificate: "PEM",
      authorization: new Secret("session-secret"),
    };

    const result = await test.client.requestJob({ ...runner, session });

    expect(JSON.parse(String(server.requests[0]?.body))).toMatchObject({
      session: { url: "https://h:8093/session/1", certificate: "PEM", authorization: "session-secret" },
    });
    expect(JSON.stringify([result, test.logger.lines])).not.toContain("session-secret");
  });

  it("leaves out everything that is empty, and sends every feature as a boolean", async () => {
    await using server = await startServer({ status: 204 });
    await using test = createTestClient({ url: server.url });

    await test.client.requestJob({ ...runner, info: { revision: "", executor: "", labels: {} } });

    const sent = JSON.parse(String(server.requests[0]?.body)) as { readonly info: { readonly features: object } };
    expect(Object.keys(sent).toSorted()).toEqual(["info", "system_id", "token"]);
    expect(Object.keys(sent.info).toSorted()).toEqual(["config", "features", "name", "version"]);
    expect(Object.keys(sent.info.features)).toEqual([...RUNNER_FEATURES]);
    expect(new Set(Object.values(sent.info.features).map((feature) => typeof feature))).toEqual(new Set(["boolean"]));
  });

  it("CP A11: waits the 2 s that a 429 names and is healthy, with one info line about the wait", async () => {
    await using server = await startServer({ status: 429, headers: { "retry-after": "2" } }, { status: 204 });
    await using test = createTestClient({ url: server.url });

    expect(await test.client.requestJob(runner)).toMatchObject({ healthy: true, status: 204, throttled: true });
    expect(test.time.waits).toEqual([2000]);
    expect(test.logger.at("info")).toMatchObject([{ fields: { duration: "2s" } }]);
  });

  it("CP A12: waits until the reset time rather than for the time of Retry-After", async () => {
    const headers = { "ratelimit-resettime": dateIn(3000), "retry-after": "60" };
    await using server = await startServer({ status: 429, headers }, { status: 204 });
    await using test = createTestClient({ url: server.url });

    await test.client.requestJob(runner);

    expect(test.time.waits).toEqual([3000]);
  });

  it("CP A13: takes Retry-After when the reset time is an hour ago, without a warning about headers", async () => {
    const headers = { "ratelimit-resettime": dateIn(-3_600_000), "retry-after": "1" };
    await using server = await startServer({ status: 429, headers }, { status: 204 });
    await using test = createTestClient({ url: server.url });

    await test.client.requestJob(runner);

    expect(test.time.waits).toEqual([1000]);
    expect(test.logger.at("warn").filter((line) => "header" in line.fields)).toEqual([]);
  });

  it("CP A14: warns of both headers when they are garbage and waits 100 ms", async () => {
    const headers = { "ratelimit-RESETTIME": "garbage", "retry-after": "nonsense" };
    await using server = await startServer({ status: 429, headers }, { status: 204 });
    await using test = createTestClient({ url: server.url });

    await test.client.requestJob(runner);

    expect(test.time.waits).toEqual([100]);
    expect(test.logger.at("warn").flatMap((line) => line.fields["headerValue"] ?? [])).toEqual(["garbage", "nonsense"]);
  });

  it("CP A19: is healthy after a connection reset, which is not retried", async () => {
    await using server = await startServer(resetConnection);
    await using test = createTestClient({ url: server.url });

    expect(await test.client.requestJob(runner)).toMatchObject({
      job: undefined,
      healthy: true,
      status: -1,
      attempts: 1,
    });
    expect(server.requests).toHaveLength(1);
    expect(test.logger.at("warn")).toHaveLength(1);
  });

  it("CP A26: takes no job from a 200 and is healthy", async () => {
    await using server = await startServer({ status: 200, body: JOB_BODY });
    await using test = createTestClient({ url: server.url });

    const result = await test.client.requestJob(runner);

    expect(result).toMatchObject({ healthy: true, status: 200 });
    expect(result.job).toBeUndefined();
    expect(test.logger.at("warn")).toHaveLength(1);
  });

  it("CP A27: takes no job whose id is a string, warns and is healthy", async () => {
    await using server = await startServer({ status: 201, body: { ...JOB_BODY, id: "5" } });
    await using test = createTestClient({ url: server.url });

    const result = await test.client.requestJob(runner);

    expect(result).toMatchObject({ healthy: true, status: -1 });
    expect(result.job).toBeUndefined();
    expect(result.message).toContain("id must be a number, not string");
    expect(test.logger.at("warn")).toHaveLength(1);
  });

  it("CP A28: hands over a job with an unknown executor option together with the reason to fail it", async () => {
    const image = { name: "alpine", executor_opts: { docker: { platform: "arm64", colour: "red" } } };
    await using server = await startServer({ status: 201, body: { ...JOB_BODY, image } });
    await using test = createTestClient({ url: server.url });

    const result = await test.client.requestJob(runner);

    expect(result).toMatchObject({ healthy: true, job: { id: 101 } });
    expect(result.rejection).toContain("docker.colour");
  });

  it.each([
    { says: "another media type", headers: { "content-type": "text/html" }, body: JSON.stringify(JOB_BODY) },
    { says: "no media type", headers: {}, body: JSON.stringify(JOB_BODY) },
    { says: "broken JSON", headers: { "content-type": "application/json" }, body: '{"id": 1' },
  ])("takes no job from a 201 with $says", async ({ headers, body }) => {
    await using server = await startServer({ status: 201, headers, body });
    await using test = createTestClient({ url: server.url });

    expect(await test.client.requestJob(runner)).toMatchObject({ job: undefined, healthy: true, status: -1 });
    expect(test.logger.at("warn")).toHaveLength(1);
  });

  it("reads a job whose media type has parameters", async () => {
    const headers = { "content-type": "Application/JSON; charset=utf-8" };
    await using server = await startServer({ status: 201, headers, body: JSON.stringify(JOB_BODY) });
    await using test = createTestClient({ url: server.url });

    expect((await test.client.requestJob(runner)).job?.id).toBe(101);
  });

  it.each([
    { status: 204, healthy: true, level: "debug" },
    { status: 403, healthy: false, level: "error" },
    { status: 503, healthy: true, level: "warn" },
    { status: 400, healthy: true, level: "warn" },
    { status: 409, healthy: true, level: "warn" },
    { status: 422, healthy: true, level: "warn" },
    { status: 429, healthy: true, level: "warn" },
  ])("takes $status as healthy: $healthy and closes with one line at $level", async ({ status, healthy, level }) => {
    await using server = await startServer({ status });
    await using test = createTestClient({ url: server.url, maxAttempts: 1 });

    expect(await test.client.requestJob(runner)).toMatchObject({ job: undefined, status, healthy });
    expect(test.logger.lines.map((line) => line.level)).toEqual([level]);
  });

  it("sends the last update back per token and keeps it when an answer has none", async () => {
    await using server = await startServer(
      { status: 204, headers: { "X-GitLab-Last-Update": "one" } },
      { status: 204 },
      { status: 204, headers: { "X-GitLab-Last-Update": "" } },
      { status: 409, headers: { "X-GitLab-Last-Update": "two" } },
      { status: 204 },
    );
    await using test = createTestClient({ url: server.url });

    for (let poll = 0; poll < 5; poll += 1) {
      await test.client.requestJob(runner);
    }
    await test.client.requestJob({ token: new Secret("glrt-other"), systemId: "s_0a1b2c3d4e5f" });

    const sent = server.requests.map((request) => JSON.parse(String(request.body)) as { last_update?: string });
    expect(sent.map((body) => body.last_update)).toEqual([undefined, "one", "one", "one", "two", undefined]);
  });

  it("reads an answer that is compressed", async () => {
    const { gzipSync } = await import("node:zlib");
    const headers = { "content-type": "application/json", "content-encoding": "gzip" };
    await using server = await startServer({ status: 201, headers, body: gzipSync(JSON.stringify(JOB_BODY)) });
    await using test = createTestClient({ url: server.url });

    expect((await test.client.requestJob(runner)).job?.id).toBe(101);
  });

  it("does not repeat a token that the coordinator echoes", async () => {
    await using server = await startServer({ status: 400, body: { message: `bad token ${RUNNER_TOKEN}\u001b[31m` } });
    await using test = createTestClient({ url: server.url });

    const result = await test.client.requestJob(runner);

    expect(result.message).toContain("(bad token [redacted] [31m)");
    expect(JSON.stringify(test.logger.lines)).not.toContain(RUNNER_TOKEN);
  });
});
