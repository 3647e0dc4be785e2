import { inspect } from "node:util";

import { describe, expect, it } from "vitest";

import { Secret } from "./secret.ts";
import type { RawReply } from "./test-support/recording-server.ts";
import { resetConnection, startServer } from "./test-support/recording-server.ts";
import { bytes, createTestClient, job, JOB_TOKEN, runner, RUNNER_TOKEN } from "./test-support/test-client.ts";

const REGISTRATION_TOKEN = "registration-secret-1";
const ACCESS_TOKEN = "glpat-access-secret-1";
const TOKENS = [JOB_TOKEN, RUNNER_TOKEN, REGISTRATION_TOKEN, ACCESS_TOKEN];

/** Says the request's tokens wherever an answer has room for words. */
function echo(status: number): RawReply {
  return (request, response) => {
    request.resume();
    const tokens = ["job-token", "runner-token", "private-token"]
      .map((name) => request.headers[name])
      .filter((token) => token !== undefined);
    const said = tokens.join(" ");
    response.writeHead(status, said, {
      "content-type": "application/json",
      "x-request-id": said,
      location: `http://front.example/${tokens.join("/")}?token=${said}`,
    });
    response.end(JSON.stringify({ message: { base: [said] } }));
  };
}

describe("tokens", () => {
  it.each([
    { says: "refused", reply: echo(400) },
    { says: "forbidden", reply: echo(403) },
    { says: "redirected", reply: echo(302) },
    { says: "answered with nonsense", reply: echo(201) },
    { says: "not answered", reply: resetConnection },
  ])("are in no log line and no result when every call is $says", async ({ reply }) => {
    await using server = await startServer(reply);
    await using test = createTestClient({ url: server.url });
    const { client, logger } = test;

    const results = [
      await client.registerRunner({ token: new Secret(REGISTRATION_TOKEN) }),
      await client.resetRunnerToken(runner),
      await client.resetRunnerTokenById({ id: 7, accessToken: new Secret(ACCESS_TOKEN) }),
      await client.verifyRunner(runner),
      await client.adoptRunner(runner),
      await client.unregisterRunner(runner),
      await client.requestJob(runner),
      await client.updateJob(job, { state: "running" }),
      await client.patchTrace(job, { offset: 0, bytes: bytes("x") }),
      await client.uploadArtifacts(job, { fileName: "a.zip", open: () => new Blob(["x"]).stream() }),
    ];

    const printed = inspect([results, logger.lines], { depth: null, showHidden: true });
    expect(logger.lines.length).toBeGreaterThanOrEqual(results.length - 1);
    for (const token of TOKENS) {
      expect(printed).not.toContain(token);
    }
  });
});
