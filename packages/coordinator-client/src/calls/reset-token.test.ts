import { describe, expect, it } from "vitest";

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
