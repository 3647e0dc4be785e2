import { describe, expect, it } from "vitest";

import { Secret } from "../secret.ts";
import { startServer } from "../test-support/recording-server.ts";
import { createTestClient, runner, RUNNER_TOKEN } from "../test-support/test-client.ts";

describe("resetRunnerToken", () => {
  it("CP A10: sends the old token in the body alone and gives the new one with its expiry", async () => {
    await using server = await startServer({
      status: 201,
      body: { token: "glrt-new", token_expires_at: "2031-01-01T00:00:00Z" },
    });
    await using test = createTestClient({ url: server.url });

    const { runner: renewed } = await test.client.resetRunnerToken(runner);

    expect(renewed?.token.reveal()).toBe("glrt-new");
    expect(renewed).toMatchObject({ tokenExpiresAt: "2031-01-01T00:00:00Z" });
    const [request] = server.requests;
    expect(request).toMatchObject({ method: "POST", path: "/api/v4/runners/reset_authentication_token" });
    expect(request?.headers).not.toHaveProperty("runner-token");
    expect(JSON.parse(String(request?.body))).toEqual({ token: RUNNER_TOKEN });
  });

  it.each([
    { what: "a refused token", answer: { status: 403, body: { message: "403 Forbidden" } } },
    { what: "another success", answer: { status: 200, body: { token: "glrt-new" } } },
    { what: "an answer without a token", answer: { status: 201, body: {} } },
  ])("gives no runner for $what, and says so once without the token", async ({ answer }) => {
    await using server = await startServer(answer);
    await using test = createTestClient({ url: server.url });

    expect((await test.client.resetRunnerToken(runner)).runner).toBeUndefined();
    expect(test.logger.at("error")).toHaveLength(1);
    expect(JSON.stringify(test.logger.at("error"))).not.toContain(RUNNER_TOKEN);
  });
});

describe("resetRunnerTokenById", () => {
  const accessToken = new Secret("glpat-access-secret-1");

  it("sends the access token in its header alone, with the body null, and gives the new token of that runner", async () => {
    await using server = await startServer({ status: 201, body: { token: "glrt-new" } });
    await using test = createTestClient({ url: server.url });

    const { runner: renewed } = await test.client.resetRunnerTokenById({ id: 12, accessToken });

    expect(renewed?.token.reveal()).toBe("glrt-new");
    expect(renewed).toMatchObject({ id: 12, tokenExpiresAt: undefined, tokenObtainedAt: "2026-11-21T10:00:00Z" });
    const [request] = server.requests;
    expect(request).toMatchObject({
      method: "POST",
      path: "/api/v4/runners/12/reset_authentication_token",
      headers: { "private-token": "glpat-access-secret-1", "content-type": "application/json" },
    });
    expect(request?.headers).not.toHaveProperty("runner-token");
    expect(String(request?.body)).toBe("null");
  });

  it("gives no runner when the access token may not, and says so once without it", async () => {
    const said = { message: "no rights: glpat-access-secret-1" };
    await using server = await startServer({ status: 403, body: said });
    await using test = createTestClient({ url: server.url });

    const result = await test.client.resetRunnerTokenById({ id: 12, accessToken });

    expect(result).toMatchObject({ runner: undefined, status: 403, attempts: 1 });
    expect(test.logger.at("error")).toHaveLength(1);
    expect(JSON.stringify([result, test.logger.lines])).not.toContain("access-secret");
  });
});
