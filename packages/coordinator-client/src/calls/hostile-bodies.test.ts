import { gzipSync } from "node:zlib";

import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";

import { JOB_BODY } from "../test-support/job-body.ts";
import { startServer } from "../test-support/recording-server.ts";
import { createTestClient, job, runner } from "../test-support/test-client.ts";

const RUNS = 2000;
const MIB = 1024 * 1024;
const JSON_TYPE = { "content-type": "application/json" };

describe("answers with a body that no coordinator sends", () => {
  it(`are calls without a usable answer, whatever the bytes are (${RUNS})`, async () => {
    const type = fc.constantFrom(
      "application/json",
      "application/json; charset=utf-8",
      "text/html",
      "",
      "application/xml",
    );
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), type, async (body, contentType) => {
        await using test = createTestClient({
          url: "http://coordinator.internal",
          fetch: async () => new Response(body, { status: 201, headers: { "content-type": contentType } }),
        });
        const requested = await test.client.requestJob(runner);
        expect(requested).toMatchObject({ job: undefined, healthy: true, status: -1, attempts: 1 });
        expect(requested.message).not.toBe("");
        expect(await test.client.registerRunner(runner)).toMatchObject({ runner: undefined, status: -1 });
        expect(await test.client.resetRunnerToken(runner)).toMatchObject({ runner: undefined, status: -1 });
        expect(test.logger.lines).toHaveLength(3);
      }),
      { numRuns: RUNS },
    );
  }, 120_000);

  it(`are calls without a usable answer when they are JSON of another shape (${RUNS})`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.jsonValue(), async (body) => {
        await using test = createTestClient({
          url: "http://coordinator.internal",
          fetch: async () => Response.json(body, { status: 201 }),
        });
        expect(await test.client.requestJob(runner)).toMatchObject({ job: undefined, healthy: true, status: -1 });
        expect(await test.client.registerRunner(runner)).toMatchObject({ runner: undefined, status: -1 });
        expect((await test.client.verifyRunner(runner)).outcome).toBe("inconclusive");
      }),
      { numRuns: RUNS },
    );
  }, 120_000);

  it("bring no job when they end anywhere before their end", async () => {
    const whole = JSON.stringify(JOB_BODY);
    for (let length = 0; length < whole.length; length += 1) {
      await using test = createTestClient({
        url: "http://coordinator.internal",
        fetch: async () => new Response(whole.slice(0, length), { status: 201, headers: JSON_TYPE }),
      });
      expect(await test.client.requestJob(runner)).toMatchObject({ job: undefined, healthy: true, status: -1 });
    }
  });

  it("bring no job when the connection breaks before the announced length", async () => {
    const body = JSON.stringify(JOB_BODY);
    await using server = await startServer((request, response) => {
      request.resume();
      response.writeHead(201, { ...JSON_TYPE, "content-length": body.length + 1 });
      response.write(body, () => response.destroy());
    });
    await using test = createTestClient({ url: server.url });

    expect(await test.client.requestJob(runner)).toMatchObject({ job: undefined, healthy: true, status: -1 });
  });

  it.each([
    { says: "a job", status: 201, call: "requestJob" },
    { says: "the explanation of a failure", status: 400, call: "requestJob" },
    { says: "nothing that is read", status: 204, call: "updateJob" },
  ] as const)("of 100 MB in place of $says are not taken in", async ({ status, call }) => {
    let written = 0;
    const closed = Promise.withResolvers<void>();
    await using server = await startServer((request, response) => {
      request.resume();
      request.socket.once("close", () => closed.resolve());
      response.on("error", () => undefined);
      // 204 has no body, so this one breaks the protocol as well.
      response.writeHead(status === 204 ? 200 : status, JSON_TYPE);
      const piece = Buffer.alloc(MIB, '"');
      const write = (): void => {
        while (written < 100 * MIB && !response.destroyed) {
          written += piece.length;
          if (!response.write(piece)) {
            response.once("drain", write);
            return;
          }
        }
        response.end();
      };
      write();
    });
    await using test = createTestClient({ url: server.url });

    const result =
      call === "requestJob"
        ? await test.client.requestJob(runner)
        : await test.client.updateJob(job, { state: "running" });
    await closed.promise;

    expect(result.status).toBe(status === 201 ? -1 : status === 204 ? 200 : status);
    // What is kept, and what lies in the buffers of both ends.
    expect(written).toBeLessThan(30 * MIB);
  });

  it("that grow beyond all bounds when they are unzipped are not taken in", async () => {
    const body = gzipSync(JSON.stringify(JOB_BODY) + " ".repeat(100 * MIB));
    await using server = await startServer({
      status: 201,
      headers: { ...JSON_TYPE, "content-encoding": "gzip" },
      body,
    });
    await using test = createTestClient({ url: server.url });

    expect(await test.client.requestJob(runner)).toMatchObject({ job: undefined, healthy: true, status: -1 });
  });
});

describe("explanations of failures that no coordinator sends", () => {
  it("leave no timer behind when they are too long to be read", async () => {
    await using server = await startServer({ status: 400, headers: JSON_TYPE, body: "x".repeat(MIB) });
    await using test = createTestClient({ url: server.url });
    const setTimer = vi.spyOn(globalThis, "setTimeout");
    const clearTimer = vi.spyOn(globalThis, "clearTimeout");

    expect(await test.client.requestJob(runner)).toMatchObject({ status: 400 });

    const limit = setTimer.mock.results[setTimer.mock.calls.findIndex(([, ms]) => ms === 1000)];
    expect(limit).toBeDefined();
    expect(clearTimer).toHaveBeenCalledWith(limit?.value);
  });

  it(`end up in the message in one short line without the token, or not at all (${RUNS})`, async () => {
    const text = fc.oneof(fc.string(), fc.constant(`token ${runner.token.reveal()}`), fc.string({ minLength: 3000 }));
    const message = fc.oneof(
      text,
      fc.dictionary(fc.string(), fc.oneof(text, fc.array(text), fc.jsonValue())),
      fc.jsonValue(),
    );
    await fc.assert(
      fc.asyncProperty(message, fc.integer({ min: 400, max: 499 }), async (said, status) => {
        fc.pre(status !== 408 && status !== 429);
        await using test = createTestClient({
          url: "http://coordinator.internal",
          fetch: async () => Response.json({ message: said }, { status }),
        });
        const result = await test.client.requestJob(runner);
        expect(result).toMatchObject({ job: undefined, status, healthy: status !== 403 });
        expect(result.message.length).toBeLessThan(1100);
        expect(result.message).not.toContain(runner.token.reveal());
        expect(result.message).not.toMatch(/[\u0000-\u001f\u007f-\u009f]/);
      }),
      { numRuns: RUNS },
    );
  }, 120_000);
});
