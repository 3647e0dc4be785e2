import { Socket } from "node:net";

import { Agent } from "undici";
import { afterEach, describe, expect, it, vi } from "vitest";

import { JOB_BODY } from "../test-support/job-body.ts";
import { startServer } from "../test-support/recording-server.ts";
import { bytes, createTestClient, job, runner } from "../test-support/test-client.ts";

const CHUNK = { offset: 0, bytes: bytes("hello") };

describe("a fetch-shaped function in place of sockets", () => {
  it("carries every kind of call", async () => {
    const seen: string[] = [];
    await using test = createTestClient({
      url: "http://coordinator.internal",
      async fetch(request) {
        const { pathname } = new URL(request.url);
        const body = request.headers.get("content-type")?.startsWith("multipart/")
          ? await ((await request.formData()).get("file") as File).text()
          : String((await request.text()).length);
        seen.push(`${request.method} ${pathname} ${body}`);
        switch (request.method) {
          case "POST":
            return pathname.endsWith("/request")
              ? Response.json(JOB_BODY, { status: 201 })
              : new Response(null, { status: 201 });
          case "PATCH":
            return new Response(null, { status: 202, headers: { "Job-Status": "canceling" } });
          case "GET":
            return new Response("archive");
          default:
            return new Response("200", { headers: { "X-GitLab-Trace-Update-Interval": "9" } });
        }
      },
    });

    expect((await test.client.requestJob(runner)).job?.id).toBe(101);
    expect(await test.client.patchTrace(job, CHUNK)).toMatchObject({ outcome: "ok", cancelRequested: true });
    expect(await test.client.updateJob(job, { state: "running" })).toMatchObject({ updateIntervalMs: 9000 });
    const upload = { fileName: "a.zip", open: () => new Blob(["PK"]).stream() };
    expect(await test.client.uploadArtifacts(job, upload)).toMatchObject({ outcome: "succeeded" });
    let received = "";
    await test.client.downloadArtifacts(job, async (body) => {
      received = await new Response(body).text();
    });

    expect(received).toBe("archive");
    expect(seen).toEqual([
      expect.stringMatching(/^POST \/api\/v4\/jobs\/request \d{3}$/),
      "PATCH /api/v4/jobs/7/trace 5",
      expect.stringMatching(/^PUT \/api\/v4\/jobs\/7 \d+$/),
      "POST /api/v4/jobs/7/artifacts PK",
      "GET /api/v4/jobs/7/artifacts 0",
    ]);
  });

  it("is left at once on abort, even if it does not look at the signal", async () => {
    const controller = new AbortController();
    const answered = Promise.withResolvers<Response>();
    const dropped = Promise.withResolvers<void>();
    await using test = createTestClient({
      url: "http://coordinator.internal",
      fetch() {
        queueMicrotask(() => controller.abort("stopped"));
        return answered.promise;
      },
    });

    await expect(test.client.requestJob(runner, { signal: controller.signal })).rejects.toBe("stopped");

    answered.resolve(new Response(new ReadableStream({ cancel: () => dropped.resolve() })));
    await dropped.promise;
  });

  it("gets back the body of an attempt that nobody reads, however long it is", async () => {
    const cancelled = Promise.withResolvers<void>();
    const endless = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new Uint8Array(100_000)),
      cancel: () => cancelled.resolve(),
    });
    const answers = [new Response(endless, { status: 503 }), new Response(null, { status: 202 })];
    await using test = createTestClient({
      url: "http://coordinator.internal",
      fetch: async () => answers.shift() ?? Response.error(),
    });

    expect(await test.client.patchTrace(job, CHUNK)).toMatchObject({ outcome: "ok", attempts: 2 });
    await cancelled.promise;
  });

  it("is the platform's fetch as well", async () => {
    await using server = await startServer({ status: 503 }, { status: 201, body: JOB_BODY });
    await using test = createTestClient({ url: server.url, fetch: globalThis.fetch });

    expect(await test.client.requestJob(runner)).toMatchObject({ job: { id: 101 }, attempts: 2 });
  });

  it("is a failure without answer when it rejects", async () => {
    await using test = createTestClient({
      url: "http://coordinator.internal",
      fetch: () => Promise.reject(new TypeError("fetch failed", { cause: new Error("connect ECONNREFUSED") })),
    });

    const result = await test.client.requestJob(runner);

    expect(result).toMatchObject({ status: -1, attempts: 1, healthy: true });
    expect(result.message).toBe(
      "POST http://coordinator.internal/api/v4/jobs/request: fetch failed: connect ECONNREFUSED",
    );
  });

  it("excludes a dispatcher", () => {
    const dispatcher = new Agent();
    expect(() => createTestClient({ url: "http://h", dispatcher, fetch: globalThis.fetch })).toThrow(TypeError);
  });
});

describe("time limits", () => {
  it("ends a request whose answer does not begin", async () => {
    await using server = await startServer(() => undefined);
    await using test = createTestClient({ url: server.url, headersTimeoutMs: 20 });

    expect(await test.client.patchTrace(job, CHUNK)).toMatchObject({ outcome: "failed", status: -1, attempts: 1 });
  });

  it("ends a request whose answer does not begin, through fetch", async () => {
    await using test = createTestClient({
      url: "http://coordinator.internal",
      headersTimeoutMs: 20,
      fetch: () => new Promise(() => undefined),
    });

    const result = await test.client.patchTrace(job, CHUNK);

    expect(result).toMatchObject({ outcome: "failed", status: -1, attempts: 1 });
    expect(result.message).toContain("no answer within 0.02 s");
  });

  it.each([{ fetch: undefined }, { fetch: globalThis.fetch }])(
    "ends a request whose answer does not end (%o)",
    async ({ fetch }) => {
      await using server = await startServer((_request, response) => {
        response.writeHead(201, { "content-type": "application/json" }).write('{"id":');
      });
      const way = fetch === undefined ? {} : { fetch };
      await using test = createTestClient({ url: server.url, requestTimeoutMs: 50, ...way });

      const result = await test.client.requestJob(runner);

      expect(result).toMatchObject({ job: undefined, status: -1, healthy: true });
      expect(result.message).toContain("no complete answer within 0.05 s");
    },
  );

  it("does not wait for the explanation of a failure for ever", async () => {
    await using server = await startServer((_request, response) => {
      response.writeHead(400, { "content-type": "application/json" }).write('{"message":');
    });
    await using test = createTestClient({ url: server.url });

    expect(await test.client.patchTrace(job, CHUNK)).toMatchObject({ outcome: "failed", status: 400 });
  });
});

describe("sockets", () => {
  afterEach(() => {
    vi.restoreAllMocks();
  });

  it("keep the connection alive from 30 s on", async () => {
    const setKeepAlive = vi.spyOn(Socket.prototype, "setKeepAlive");
    await using server = await startServer({ status: 204 });
    await using test = createTestClient({ url: server.url });

    await test.client.requestJob(runner);

    expect(setKeepAlive).toHaveBeenCalledWith(true, 30_000);
  });

  it("name what went wrong when nobody listens", async () => {
    const server = await startServer({ status: 204 });
    await server[Symbol.asyncDispose]();
    await using test = createTestClient({ url: server.url });

    const result = await test.client.requestJob(runner);

    expect(result).toMatchObject({ status: -1, attempts: 1, healthy: true });
    expect(result.message).toMatch(/\/api\/v4\/jobs\/request: connect ECONNREFUSED 127\.0\.0\.1:\d+$/);
  });

  it("of a dispatcher that was given stay open when the client closes", async () => {
    await using server = await startServer({ status: 204 });
    await using dispatcher = agentToClose();
    const test = createTestClient({ url: server.url, dispatcher: dispatcher.agent });

    await test.client.requestJob(runner);
    await test.client.close();

    expect(dispatcher.agent.closed).toBe(false);
  });

  it("may be closed more than once, and in the end by force", async () => {
    const arrived = Promise.withResolvers<void>();
    await using server = await startServer(() => arrived.resolve());
    const test = createTestClient({ url: server.url });
    const call = test.client.requestJob(runner);
    await arrived.promise;

    const closing = [test.client.close(), test.client.close()];
    await test.client.close({ force: true });
    await Promise.all(closing);
    await test.client.close();

    expect(await call).toMatchObject({ status: -1 });
    expect(await test.client.requestJob(runner)).toMatchObject({ status: -1, attempts: 1 });
  });

  it("break at once when the client is closed by force, and the call ends as without an answer", async () => {
    const arrived = Promise.withResolvers<void>();
    await using server = await startServer(() => arrived.resolve());
    const test = createTestClient({ url: server.url });

    const call = test.client.requestJob(runner);
    await arrived.promise;
    await test.client.close({ force: true });

    expect(await call).toMatchObject({ status: -1, attempts: 1 });
  });
});

function agentToClose(): AsyncDisposable & { readonly agent: Agent } {
  const agent = new Agent();
  return { agent, [Symbol.asyncDispose]: () => agent.close() };
}
