import { describe, expect, it } from "vitest";

import type { FetchLike } from "../client.ts";
import type { RecordedRequest } from "../test-support/recording-server.ts";
import { startServer } from "../test-support/recording-server.ts";
import { bytes, createTestClient, job, JOB_TOKEN, runner } from "../test-support/test-client.ts";

const CHUNK = { offset: 0, bytes: bytes("hello") };

interface SeenRequest {
  readonly url: string;
  readonly token: string | null;
  readonly body: string;
}

/** Answers in the process, so that https needs no certificate; redirects by a table of URLs. */
function redirecting(targets: Readonly<Record<string, string>>, status: number, seen: SeenRequest[]): FetchLike {
  return async (request) => {
    seen.push({ url: request.url, token: request.headers.get("job-token"), body: await request.text() });
    const location = targets[request.url];
    return location === undefined
      ? new Response("done", { status: request.method === "GET" ? 200 : request.method === "PATCH" ? 202 : 201 })
      : new Response(null, { status, headers: { location } });
  };
}

describe("redirects of requests with a body", () => {
  it.each([307, 308])("repeats method, body and token after a %i, also at another host", async (status) => {
    await using second = await startServer({ status: 201 });
    await using first = await startServer({ status, headers: { location: `${second.url}/other?place=2` } });
    await using test = createTestClient({ url: first.url });
    let opened = 0;

    const result = await test.client.uploadArtifacts(job, {
      fileName: "a.zip",
      open() {
        opened += 1;
        return new Blob(["PK"]).stream();
      },
    });

    expect(result).toMatchObject({ outcome: "succeeded", status: 201, attempts: 1, tries: 1 });
    expect(opened).toBe(2);
    expect(second.requests).toMatchObject([
      { method: "POST", path: "/other?place=2", headers: { "job-token": JOB_TOKEN } },
    ]);
    expect(sent(second.requests[0])).toBe(sent(first.requests[0]));
  });

  it.each([301, 302, 303])("does not follow a %i, and names its target", async (status) => {
    await using server = await startServer({ status, headers: { location: "https://front.example/api?token=secret" } });
    await using test = createTestClient({ url: server.url });

    const result = await test.client.patchTrace(job, CHUNK);

    expect(result).toMatchObject({ outcome: "failed", status, attempts: 1 });
    expect(result.message).toContain("not followed to https://front.example/api");
    expect(result.message).not.toContain("secret");
    expect(server.requests).toHaveLength(1);
  });

  it("follows within the coordinator and then retries from the first address", async () => {
    await using server = await startServer(
      { status: 307, headers: { location: "/api/v4/elsewhere" } },
      { status: 503 },
      { status: 307, headers: { location: "/api/v4/elsewhere" } },
      { status: 204 },
    );
    await using test = createTestClient({ url: server.url });

    expect(await test.client.requestJob(runner)).toMatchObject({ status: 204, attempts: 2 });
    expect(server.requests.map(({ path }) => path)).toEqual([
      "/api/v4/jobs/request",
      "/api/v4/elsewhere",
      "/api/v4/jobs/request",
      "/api/v4/elsewhere",
    ]);
  });

  it("never sends a body or a token from https to http", async () => {
    const seen: SeenRequest[] = [];
    const fetch = redirecting({ "https://h/api/v4/jobs/7/trace?debug_trace=false": "http://h/plain" }, 307, seen);
    await using test = createTestClient({ url: "https://h", fetch });

    const result = await test.client.patchTrace(job, CHUNK);

    expect(result).toMatchObject({ outcome: "failed", status: 307 });
    expect(result.message).toContain("not followed to http://h/plain");
    expect(seen).toHaveLength(1);
  });

  it("gives up after ten hops", async () => {
    await using server = await startServer({ status: 307, headers: { location: "/api/v4/again" } });
    await using test = createTestClient({ url: server.url });

    const result = await test.client.patchTrace(job, CHUNK);

    expect(result).toMatchObject({ outcome: "failed", status: -1, attempts: 1 });
    expect(result.message).toContain("more than 10 redirects");
    expect(server.requests).toHaveLength(11);
  });

  it("fails when the target cannot be used", async () => {
    await using server = await startServer({ status: 308, headers: { location: "gopher://h/1" } });
    await using test = createTestClient({ url: server.url });

    expect(await test.client.patchTrace(job, CHUNK)).toMatchObject({ outcome: "failed", status: -1 });
  });
});

describe("redirects of downloads", () => {
  it.each([301, 302, 303, 307, 308])("follows a %i to object storage without the token", async (status) => {
    await using storage = await startServer({ status: 200, body: "archive" });
    await using server = await startServer({ status, headers: { location: `${storage.url}/bucket/a.zip?sig=1` } });
    await using test = createTestClient({ url: server.url });
    let received = "";

    const result = await test.client.downloadArtifacts(job, async (body) => {
      received = await new Response(body).text();
    });

    expect(result).toMatchObject({ outcome: "succeeded", attempts: 2, tries: 1 });
    expect(received).toBe("archive");
    expect(storage.requests).toMatchObject([{ method: "GET", path: "/bucket/a.zip?sig=1" }]);
    expect(storage.requests[0]?.headers["job-token"]).toBeUndefined();
    expect(server.requests[0]?.headers["job-token"]).toBe(JOB_TOKEN);
  });

  it("keeps the token within the origin, and without it once the origin was left", async () => {
    const seen: SeenRequest[] = [];
    const first = "https://h/api/v4/jobs/7/artifacts?direct_download=true";
    const targets = {
      [first]: "/same",
      "https://h/same": "https://storage.example/x",
      "https://storage.example/x": "https://h/back",
    };
    await using test = createTestClient({ url: "https://h", fetch: redirecting(targets, 302, seen) });

    await test.client.downloadArtifacts(job, async (body) => {
      await body.cancel();
    });

    expect(seen.map(({ url, token }) => [url, token])).toEqual([
      [first, JOB_TOKEN],
      ["https://h/same", JOB_TOKEN],
      ["https://storage.example/x", null],
      ["https://h/back", null],
    ]);
  });

  it("leaves the token behind from https to http", async () => {
    const seen: SeenRequest[] = [];
    const first = "https://h/api/v4/jobs/7/artifacts?direct_download=true";
    await using test = createTestClient({
      url: "https://h",
      fetch: redirecting({ [first]: "http://h/plain" }, 302, seen),
    });

    await test.client.downloadArtifacts(job, async (body) => {
      await body.cancel();
    });

    expect(seen.map(({ token }) => token)).toEqual([JOB_TOKEN, null]);
  });
});

function sent(request: RecordedRequest | undefined): string | undefined {
  return request?.body.toString();
}
