import { subscribe, unsubscribe } from "node:diagnostics_channel";

import { describe, expect, it } from "vitest";

import { Secret } from "../secret.ts";
import { resetConnection, startServer } from "../test-support/recording-server.ts";
import { createTestClient, runner, RUNNER_TOKEN } from "../test-support/test-client.ts";

const legacy = { token: new Secret("abcdef0123456789wxyz"), systemId: "s_0a1b2c3d4e5f" };

describe("verifyRunner", () => {
  it("CP A1: asks below the normalised address of the instance", async () => {
    await using server = await startServer({ status: 200, body: { id: 7, token: RUNNER_TOKEN } });
    await using test = createTestClient({ url: `${server.url}/ci//` });

    expect(await test.client.verifyRunner(runner)).toMatchObject({ outcome: "valid", id: 7, status: 200, attempts: 1 });
    expect(server.requests).toMatchObject([{ method: "POST", path: "/api/v4/runners/verify" }]);
  });

  it("sends the token in header and body, the machine, and the whole info", async () => {
    await using server = await startServer({ status: 200, body: { id: 7 } });
    await using test = createTestClient({ url: server.url });

    await test.client.verifyRunner(runner);

    const [request] = server.requests;
    expect(request?.headers).toMatchObject({
      accept: "application/json",
      "content-type": "application/json",
      "runner-token": RUNNER_TOKEN,
    });
    expect(JSON.parse(String(request?.body))).toMatchObject({
      token: RUNNER_TOKEN,
      system_id: "s_0a1b2c3d4e5f",
      info: {
        name: "gitlab-runner",
        version: "19.4.0",
        features: { cancel_gracefully: true, two_phase_job_commit: true, image: false },
        config: { gpus: "" },
      },
    });
  });

  it("CP A2: takes a URL of another scheme as a client error before any socket is opened", async () => {
    await using test = createTestClient({ url: "ftp://h" });
    const sockets: unknown[] = [];
    const onSocket = (message: unknown): void => void sockets.push(message);
    subscribe("net.client.socket", onSocket);

    expect(await test.client.verifyRunner(runner)).toMatchObject({
      outcome: "inconclusive",
      status: -100,
      attempts: 0,
    });
    expect(await test.client.requestJob(runner)).toMatchObject({
      job: undefined,
      healthy: false,
      status: -100,
      attempts: 0,
    });
    expect(test.logger.at("error")).toHaveLength(2);
    unsubscribe("net.client.socket", onSocket);
    expect(sockets).toEqual([]);
  });

  it("CP A6: asks once more when the answer is plain text, and takes the 200 for valid", async () => {
    await using server = await startServer({ status: 200, headers: { "content-type": "text/plain" }, body: "200" });
    await using test = createTestClient({ url: server.url });

    expect(await test.client.verifyRunner(legacy)).toMatchObject({ outcome: "valid", id: 0, status: 200, attempts: 2 });
    expect(server.requests).toHaveLength(2);
  });

  it("is inconclusive when a login page answers in the coordinator's place", async () => {
    await using server = await startServer({
      status: 200,
      headers: { "content-type": "text/html; charset=utf-8" },
      body: "<html>",
    });
    await using test = createTestClient({ url: server.url });

    expect(await test.client.verifyRunner(runner)).toMatchObject({ outcome: "inconclusive", status: 200 });
  });

  it("asks once more after a lost connection", async () => {
    await using server = await startServer(resetConnection, { status: 403 });
    await using test = createTestClient({ url: server.url });

    expect(await test.client.verifyRunner(runner)).toMatchObject({ outcome: "invalid", status: 403, attempts: 2 });
  });

  it("CP A8: is inconclusive after five 500s, which is no reason to delete the runner", async () => {
    await using server = await startServer({ status: 500 });
    await using test = createTestClient({ url: server.url });

    expect(await test.client.verifyRunner(runner)).toMatchObject({ outcome: "inconclusive", status: 500, attempts: 5 });
    expect(server.requests).toHaveLength(5);
  });

  it.each([
    { status: 403, outcome: "invalid" },
    { status: 422, outcome: "inconclusive" },
    { status: 404, outcome: "inconclusive" },
    { status: 201, outcome: "inconclusive" },
  ])("takes $status as $outcome", async ({ status, outcome }) => {
    await using server = await startServer({ status, body: { message: "whatever" } });
    await using test = createTestClient({ url: server.url });

    expect((await test.client.verifyRunner(runner)).outcome).toBe(outcome);
    expect(test.logger.at("error")).toHaveLength(1);
  });
});

describe("identity of a call", () => {
  it("CP A3: names program and request, the id equal across retries and different per call", async () => {
    await using server = await startServer({ status: 429 }, { status: 204 });
    await using test = createTestClient({
      url: server.url,
      info: { name: "fleetfoot", version: "1.2.3", branch: "main", platform: "linux", architecture: "arm64" },
    });

    await test.client.requestJob(runner);
    await test.client.requestJob(runner);

    const ids = server.requests.map((request) => request.headers["x-request-id"]);
    expect(ids).toEqual([ids[0], ids[0], expect.stringMatching(/^[0-9a-f]{32}$/)]);
    expect(ids[0]).toMatch(/^[0-9a-f]{32}$/);
    expect(ids[2]).not.toBe(ids[0]);
    for (const { headers } of server.requests) {
      expect(headers["user-agent"]).toMatch(/^gitlab-runner 1\.2\.3 \(main; node[\d.]+; linux\/arm64\)$/);
    }
  });

  it("uses the coordinator's request id once it names one", async () => {
    await using server = await startServer({ status: 400, headers: { "x-request-id": "theirs" } });
    await using test = createTestClient({ url: server.url });

    expect((await test.client.requestJob(runner)).requestId).toBe("theirs");
    expect(test.logger.at("warn")[0]?.fields["requestId"]).toBe("theirs");
  });
});

describe("adoptRunner", () => {
  it("CP A4: registers a runner that was made on the server, without making another one", async () => {
    await using server = await startServer({
      status: 200,
      body: { id: 7, token: "glrt-a", token_expires_at: "2031-01-01T00:00:00Z" },
    });
    await using test = createTestClient({ url: server.url });
    const token = new Secret("glrt-a");

    const result = await test.client.adoptRunner({ token, systemId: "s_0a1b2c3d4e5f" });

    expect(result.runner).toEqual({
      id: 7,
      token,
      tokenObtainedAt: "2026-11-21T10:00:00Z",
      tokenExpiresAt: "2031-01-01T00:00:00Z",
    });
    expect(server.requests.map(({ method, path }) => `${method} ${path}`)).toEqual(["POST /api/v4/runners/verify"]);
  });

  it("CP A5: fails when the coordinator names no id", async () => {
    await using server = await startServer({ status: 200, body: { id: 0 } });
    await using test = createTestClient({ url: server.url });

    const result = await test.client.adoptRunner(runner);

    expect(result.runner).toBeUndefined();
    expect(result.message).toContain("no runner id");
    expect(test.logger.at("error")).toHaveLength(1);
  });

  it("CP A6: of plain-text answers, fails for a glrt- token and accepts a legacy one", async () => {
    await using server = await startServer({ status: 200, headers: { "content-type": "text/plain" }, body: "200" });
    await using test = createTestClient({ url: server.url });

    expect((await test.client.adoptRunner(runner)).runner).toBeUndefined();
    expect((await test.client.adoptRunner(legacy)).runner).toMatchObject({ id: 0, token: legacy.token });
    expect(server.requests).toHaveLength(4);
  });

  it("fails when the coordinator refuses the token", async () => {
    await using server = await startServer({ status: 403, body: { message: "403 Forbidden" } });
    await using test = createTestClient({ url: server.url });

    expect(await test.client.adoptRunner(runner)).toMatchObject({
      status: 403,
      runner: undefined,
      // The body repeats the status, the message does not.
      message: `POST ${server.url}/api/v4/runners/verify: 403 Forbidden`,
    });
  });
});

describe("registerRunner", () => {
  it("sends the settings, with the defaults of a runner without tags", async () => {
    await using server = await startServer({
      status: 201,
      body: { id: 12, token: "new-token", token_expires_at: null },
    });
    await using test = createTestClient({
      url: server.url,
      info: {
        name: "gitlab-runner",
        version: "19.4.0",
        executor: "shell",
        features: { image: true },
        labels: { zone: "b" },
      },
    });

    const { runner: made } = await test.client.registerRunner({ token: new Secret("reg"), description: "box" });

    expect(made).toMatchObject({ id: 12, tokenExpiresAt: undefined });
    expect(made?.token.reveal()).toBe("new-token");
    const sent = JSON.parse(String(server.requests[0]?.body)) as Record<string, unknown>;
    expect(sent).toEqual({
      description: "box",
      run_untagged: true,
      locked: true,
      paused: false,
      info: {
        name: "gitlab-runner",
        version: "19.4.0",
        features: expect.objectContaining({ trace_reset: true, image: false }),
        config: { gpus: "" },
      },
      token: "reg",
    });
  });

  it("sends tags as one string and everything that was given", async () => {
    await using server = await startServer({ status: 201, body: { id: 12, token: "t" } });
    await using test = createTestClient({ url: server.url });

    await test.client.registerRunner({
      token: new Secret("reg"),
      tags: ["linux", "docker"],
      maintenanceNote: "rack 4",
      locked: false,
      paused: true,
      accessLevel: "ref_protected",
      maximumTimeoutSeconds: 3600,
    });

    expect(JSON.parse(String(server.requests[0]?.body))).toMatchObject({
      tag_list: "linux,docker",
      run_untagged: false,
      maintenance_note: "rack 4",
      locked: false,
      paused: true,
      access_level: "ref_protected",
      maximum_timeout: 3600,
    });
  });

  it("CP A7: fails with the coordinator's message when legacy registration is forbidden, without a retry", async () => {
    await using server = await startServer({
      status: 410,
      body: { message: "410 Gone - runner registration disallowed" },
    });
    await using test = createTestClient({ url: server.url });

    const result = await test.client.registerRunner({ token: new Secret("reg-secret") });

    expect(result).toMatchObject({ runner: undefined, status: 410, attempts: 1 });
    expect(result.message).toBe(
      `POST ${server.url}/api/v4/runners: 410 Gone (410 Gone - runner registration disallowed)`,
    );
    expect(server.requests).toHaveLength(1);
    expect(test.logger.at("error")).toMatchObject([
      { fields: { method: "POST", path: "/api/v4/runners", status: "410 Gone", attempts: 1 } },
    ]);
  });

  it.each([
    { says: "another success", reply: { status: 200, body: { id: 1, token: "t" } }, status: 200 },
    { says: "a missing token", reply: { status: 201, body: { id: 1 } }, status: -1 },
    { says: "an id of the wrong type", reply: { status: 201, body: { id: "1", token: "t" } }, status: -1 },
    {
      says: "broken JSON",
      reply: { status: 201, headers: { "content-type": "application/json" }, body: "{" },
      status: -1,
    },
  ])("fails on $says", async ({ reply, status }) => {
    await using server = await startServer(reply);
    await using test = createTestClient({ url: server.url });

    const result = await test.client.registerRunner({ token: new Secret("reg") });

    expect(result).toMatchObject({ runner: undefined, status });
    expect(result.message).not.toBe("");
    expect(test.logger.at("error")).toHaveLength(1);
  });
});

describe("unregisterRunner", () => {
  it("CP A9: removes this machine's entry of a glrt- runner, by a DELETE with a JSON body", async () => {
    await using server = await startServer({ status: 204 });
    await using test = createTestClient({ url: server.url });

    expect(await test.client.unregisterRunner(runner)).toMatchObject({ succeeded: true, status: 204 });
    expect(server.requests).toMatchObject([
      {
        method: "DELETE",
        path: "/api/v4/runners/managers",
        headers: { "content-type": "application/json", "runner-token": RUNNER_TOKEN },
      },
    ]);
    expect(JSON.parse(String(server.requests[0]?.body))).toEqual({
      token: RUNNER_TOKEN,
      system_id: "s_0a1b2c3d4e5f",
    });
  });

  it("removes a legacy runner itself", async () => {
    await using server = await startServer({ status: 204 });
    await using test = createTestClient({ url: server.url });

    expect((await test.client.unregisterRunner(legacy)).succeeded).toBe(true);
    expect(server.requests).toMatchObject([{ method: "DELETE", path: "/api/v4/runners" }]);
    expect(JSON.parse(String(server.requests[0]?.body))).toEqual({ token: legacy.token.reveal() });
  });

  it.each([200, 403, 404, 501])("fails on %i", async (status) => {
    await using server = await startServer({ status });
    await using test = createTestClient({ url: server.url });

    expect((await test.client.unregisterRunner(runner)).succeeded).toBe(false);
    expect(test.logger.at("error")).toHaveLength(1);
  });
});
