import { describe, expect, it } from "vitest";

import type { ArtifactUpload } from "../client.ts";
import { dateIn } from "../test-support/fakes.ts";
import { resetConnection, startServer } from "../test-support/recording-server.ts";
import { bytes, createTestClient, job, JOB_TOKEN } from "../test-support/test-client.ts";
import { artifactFileName } from "./artifact-name.ts";

function upload(content: string, options: Partial<ArtifactUpload> = {}): ArtifactUpload {
  return { fileName: "artifacts.zip", open: () => new Blob([content]).stream(), ...options };
}

/** More than the buffers of a connection hold. */
const LARGE_BYTES = 32 * 1024 * 1024;

function largeStream(onCancel: () => void = () => undefined): ReadableStream<Uint8Array> {
  let sent = 0;
  return new ReadableStream(
    {
      pull(controller) {
        if (sent >= LARGE_BYTES) {
          controller.close();
          return;
        }
        sent += 65_536;
        controller.enqueue(new Uint8Array(65_536));
      },
      cancel: onCancel,
    },
    { highWaterMark: 0 },
  );
}

async function textOf(body: ReadableStream<Uint8Array>): Promise<string> {
  return await new Response(body).text();
}

describe("uploadArtifacts", () => {
  it("streams one form with one file", async () => {
    await using server = await startServer({ status: 201, body: "whatever" });
    await using test = createTestClient({ url: server.url });

    const result = await test.client.uploadArtifacts(
      job,
      upload("PK", { fileName: 'a "b"\r\n.zip', format: "zip", type: "archive", expireIn: "1 week" }),
    );

    expect(result).toMatchObject({ outcome: "succeeded", status: 201, tries: 1, attempts: 1, message: "" });
    const [request] = server.requests;
    expect(request).toMatchObject({
      method: "POST",
      path: "/api/v4/jobs/7/artifacts?artifact_format=zip&artifact_type=archive&expire_in=1+week",
      headers: { "job-token": JOB_TOKEN, "transfer-encoding": "chunked" },
    });
    expect(request?.headers["expect"]).toBeUndefined();
    const form = await new Response(request?.body ?? null, {
      headers: { "content-type": request?.headers["content-type"] ?? "" },
    }).formData();
    const file = form.get("file");
    expect([...form.keys()]).toEqual(["file"]);
    expect(file).toBeInstanceOf(File);
    expect(await (file as File).text()).toBe("PK");
    expect((file as File).name).toBe('a "b"\r\n.zip');
  });

  it("keeps the question mark of an empty query", async () => {
    await using server = await startServer({ status: 201 });
    await using test = createTestClient({ url: server.url });

    await test.client.uploadArtifacts(job, upload("x", { format: "", type: "" }));

    expect(server.requests[0]?.path).toBe("/api/v4/jobs/7/artifacts?");
  });

  it("CP A56: makes one attempt when the file is too large, and says so", async () => {
    await using server = await startServer({ status: 413 });
    await using test = createTestClient({ url: server.url });

    const result = await test.client.uploadArtifacts(job, upload("x"));

    expect(result).toMatchObject({ outcome: "too-large", status: 413, tries: 1, attempts: 1 });
    expect(result.message).toBe(`POST ${server.url}/api/v4/jobs/7/artifacts: 413 Payload Too Large`);
    expect(server.requests).toHaveLength(1);
    expect(test.logger.lines).toMatchObject([
      { level: "error", message: "Artifact upload refused, the file is larger than the coordinator allows" },
    ]);
  });

  it("CP A56: learns of a 413 that comes before the file was sent, and cancels its source", async () => {
    await using server = await startServer((_request, response) => {
      response.writeHead(413).end();
    });
    await using test = createTestClient({ url: server.url });
    const cancelled = Promise.withResolvers<void>();

    const result = await test.client.uploadArtifacts(job, {
      fileName: "artifacts.zip",
      open: () => largeStream(cancelled.resolve),
    });

    expect(result).toMatchObject({ outcome: "too-large", tries: 1, attempts: 1 });
    await cancelled.promise;
  });

  it("CP A57: makes 30 attempts in 6 tries on endless 503s, then fails", async () => {
    await using server = await startServer({ status: 503 });
    await using test = createTestClient({ url: server.url });

    const result = await test.client.uploadArtifacts(job, upload("x"));

    expect(result).toMatchObject({ outcome: "failed", status: 503, tries: 6, attempts: 30, throttled: true });
    expect(server.requests).toHaveLength(30);
    expect(test.time.waits.filter((wait) => wait >= 1000)).toEqual([1000, 2000, 4000, 5000, 5000]);
    expect(test.logger.at("error")).toMatchObject([{ fields: { attempts: 30, status: "503 Service Unavailable" } }]);
    expect(new Set(server.requests.map(({ headers }) => headers["content-type"])).size).toBe(1);
  });

  it("goes on after a 503 for as long as a 503 follows", async () => {
    await using server = await startServer(...Array.from({ length: 4 }, () => ({ status: 503 })), {
      status: 400,
      body: { message: "already exists" },
    });
    await using test = createTestClient({ url: server.url, maxAttempts: 1 });

    const result = await test.client.uploadArtifacts(job, upload("x"));

    expect(result).toMatchObject({ outcome: "failed", status: 400, tries: 5, attempts: 5 });
    expect(result.message).toContain("(already exists)");
  });

  it.each([
    { status: 403, outcome: "forbidden", tries: 1 },
    { status: 400, outcome: "failed", tries: 3 },
    { status: 401, outcome: "failed", tries: 3 },
    { status: 404, outcome: "failed", tries: 3 },
    { status: 405, outcome: "failed", tries: 3 },
    { status: 200, outcome: "failed", tries: 3 },
    { status: 307, outcome: "failed", tries: 3 },
  ])("takes $status as $outcome after $tries tries", async ({ status, outcome, tries }) => {
    await using server = await startServer({ status });
    await using test = createTestClient({ url: server.url });

    const result = await test.client.uploadArtifacts(job, upload("x"));

    expect(result).toMatchObject({ outcome, status, tries, attempts: tries });
    expect(result.message).not.toBe("");
    expect(test.logger.at("error")).toHaveLength(1);
  });

  it("tries again after a lost connection", async () => {
    await using server = await startServer(resetConnection, { status: 201 });
    await using test = createTestClient({ url: server.url });

    expect(await test.client.uploadArtifacts(job, upload("x"))).toMatchObject({ outcome: "succeeded", tries: 2 });
  });

  it("fails with the words of a source that breaks", async () => {
    await using server = await startServer({ status: 201 });
    await using test = createTestClient({ url: server.url });
    const broken = (): ReadableStream<Uint8Array> =>
      new ReadableStream({
        pull(controller) {
          controller.error(new Error("the file shrank while it was read"));
        },
      });

    const result = await test.client.uploadArtifacts(job, { fileName: "a.zip", open: broken });

    expect(result).toMatchObject({ outcome: "failed", status: -1, tries: 3 });
    expect(result.message).toContain("the file shrank while it was read");
  });

  it("stops between two tries when it is aborted", async () => {
    await using server = await startServer({ status: 400 });
    const controller = new AbortController();
    await using test = createTestClient({
      url: server.url,
      sleep: async (_ms, signal) => {
        controller.abort("stopped");
        signal?.throwIfAborted();
      },
    });

    await expect(test.client.uploadArtifacts(job, upload("x"), { signal: controller.signal })).rejects.toBe("stopped");
    expect(server.requests).toHaveLength(1);
  });

  it("cancels its source at once when it is aborted in the middle", async () => {
    await using server = await startServer(() => undefined);
    await using test = createTestClient({ url: server.url });
    const controller = new AbortController();
    const cancelled = Promise.withResolvers<void>();
    let pulls = 0;
    const stalled = new ReadableStream<Uint8Array>(
      {
        pull(stream) {
          pulls += 1;
          if (pulls === 1) {
            stream.enqueue(bytes("first part"));
            return undefined;
          }
          controller.abort("stopped");
          return new Promise(() => undefined);
        },
        cancel: () => cancelled.resolve(),
      },
      { highWaterMark: 0 },
    );

    await expect(
      test.client.uploadArtifacts(job, { fileName: "a.zip", open: () => stalled }, { signal: controller.signal }),
    ).rejects.toBe("stopped");
    await cancelled.promise;
  });
});

describe("downloadArtifacts", () => {
  it("asks for a direct download first and hands over the bytes", async () => {
    await using server = await startServer({ status: 200, body: "archive" });
    await using test = createTestClient({ url: server.url });
    const received: string[] = [];

    const result = await test.client.downloadArtifacts(job, async (body) => {
      received.push(await textOf(body));
    });

    expect(result).toMatchObject({ outcome: "succeeded", status: 200, tries: 1, attempts: 1, message: "" });
    expect(received).toEqual(["archive"]);
    expect(server.requests).toMatchObject([
      { method: "GET", path: "/api/v4/jobs/7/artifacts?direct_download=true", headers: { "job-token": JOB_TOKEN } },
    ]);
  });

  it("CP A58: does not try again when there are no artifacts", async () => {
    await using server = await startServer({ status: 404, body: { message: "404 Not Found" } });
    await using test = createTestClient({ url: server.url });

    const result = await test.client.downloadArtifacts(job, refuse);

    expect(result).toMatchObject({ outcome: "not-found", status: 404, tries: 1, attempts: 1 });
    expect(server.requests).toHaveLength(1);
    expect(test.logger.at("error")).toHaveLength(1);
  });

  it.each([401, 403])("does not try again after %i", async (status) => {
    await using server = await startServer({ status });
    await using test = createTestClient({ url: server.url });

    expect(await test.client.downloadArtifacts(job, refuse)).toMatchObject({ outcome: "forbidden", status, tries: 1 });
  });

  it("makes three tries a second apart, the later ones not direct", async () => {
    await using server = await startServer({ status: 400 });
    await using test = createTestClient({ url: server.url });

    const result = await test.client.downloadArtifacts(job, refuse);

    expect(result).toMatchObject({ outcome: "failed", status: 400, tries: 3, attempts: 3 });
    expect(server.requests.map(({ path }) => path)).toEqual([
      "/api/v4/jobs/7/artifacts?direct_download=true",
      "/api/v4/jobs/7/artifacts",
      "/api/v4/jobs/7/artifacts",
    ]);
    expect(test.time.waits).toEqual([1000, 1000]);
  });

  it("does not come back earlier than a throttled first try was told", async () => {
    await using server = await startServer(
      { status: 429, headers: { "ratelimit-resettime": dateIn(30_000) } },
      { status: 200, body: "archive" },
    );
    await using test = createTestClient({ url: server.url });

    await test.client.downloadArtifacts(job, async (body) => {
      await textOf(body);
    });

    expect(test.time.waits).toEqual([30_000]);
  });

  it("starts over when the connection breaks in the middle", async () => {
    await using server = await startServer(
      (_request, response) => {
        response.writeHead(200, { "content-length": "1000" });
        response.write("half", () => response.destroy());
      },
      { status: 200, body: "whole" },
    );
    await using test = createTestClient({ url: server.url });
    const received: string[] = [];

    const result = await test.client.downloadArtifacts(job, async (body) => {
      received.push("");
      for await (const chunk of body) {
        received[received.length - 1] += Buffer.from(chunk).toString();
      }
    });

    expect(result).toMatchObject({ outcome: "succeeded", tries: 2, attempts: 2 });
    expect(received).toEqual(["half", "whole"]);
  });

  it("does not take a broken download for a success when its receiver hides the error", async () => {
    await using server = await startServer((_request, response) => {
      response.writeHead(200, { "content-length": "1000" });
      response.write("half", () => response.destroy());
    });
    await using test = createTestClient({ url: server.url });

    const result = await test.client.downloadArtifacts(job, async (body) => {
      await textOf(body).catch(() => undefined);
    });

    expect(result).toMatchObject({ outcome: "failed", status: -1, tries: 3 });
    expect(result.message).toContain("broke off");
  });

  it("passes on what the receiver throws, without another try, and drops the connection", async () => {
    const closed = Promise.withResolvers<void>();
    await using server = await startServer((request, response) => {
      request.socket.once("close", () => closed.resolve());
      response.writeHead(200).write("first part");
    });
    await using test = createTestClient({ url: server.url });
    const full = new Error("no space left on device");

    await expect(
      test.client.downloadArtifacts(job, async (body) => {
        await body.getReader().read();
        throw full;
      }),
    ).rejects.toBe(full);
    await closed.promise;
    expect(server.requests).toHaveLength(1);
  });

  it("drops the connection as soon as the receiver has had enough", async () => {
    const closed = Promise.withResolvers<void>();
    await using server = await startServer((request, response) => {
      request.socket.once("close", () => closed.resolve());
      response.writeHead(200).write("first part");
    });
    await using test = createTestClient({ url: server.url });

    const result = await test.client.downloadArtifacts(job, async (body) => {
      await body.cancel();
      await closed.promise;
    });

    expect(result).toMatchObject({ outcome: "succeeded", tries: 1 });
  });

  it("ends a transfer that is under way when it is aborted", async () => {
    await using server = await startServer((_request, response) => {
      response.writeHead(200).write("first part");
    });
    await using test = createTestClient({ url: server.url });
    const controller = new AbortController();

    await expect(
      test.client.downloadArtifacts(
        job,
        async (body) => {
          const reader = body.getReader();
          await reader.read();
          controller.abort("stopped");
          await reader.read();
        },
        { signal: controller.signal },
      ),
    ).rejects.toBe("stopped");
  });

  it("does not read ahead of its receiver", async () => {
    let written = 0;
    await using server = await startServer((_request, response) => {
      response.writeHead(200);
      const chunk = Buffer.alloc(65_536);
      const write = (): void => {
        while (written < LARGE_BYTES) {
          written += chunk.length;
          if (!response.write(chunk)) {
            response.once("drain", write);
            return;
          }
        }
        response.end();
      };
      write();
    });
    await using test = createTestClient({ url: server.url });
    let length = 0;

    await test.client.downloadArtifacts(job, async (body) => {
      const reader = body.getReader();
      const first = await reader.read();
      length += first.value?.length ?? 0;
      // Rounds of the event loop in which a transfer without back-pressure would go on.
      for (let round = 0; round < 200; round += 1) {
        await new Promise((resolve) => setImmediate(resolve));
      }
      expect(written).toBeLessThan(LARGE_BYTES);
      for (let next = await reader.read(); !next.done; next = await reader.read()) {
        length += next.value.length;
      }
    });

    expect(length).toBe(LARGE_BYTES);
  });

  it("explains the refusal of an object store", async () => {
    const body = "<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>";
    await using server = await startServer({ status: 403, headers: { "content-type": "application/xml" }, body });
    await using test = createTestClient({ url: server.url });

    expect((await test.client.downloadArtifacts(job, refuse)).message).toContain("(AccessDenied: Request has expired)");
  });
});

describe("artifactFileName", () => {
  it.each([
    [undefined, "", "artifacts.zip"],
    ["", "zip", "artifacts.zip"],
    [".", "zip", "default.zip"],
    ["build/out", "zip", "out.zip"],
    ["out/", "zip", "out.zip"],
    ["/", "raw", "default"],
    ["junit", "gzip", "junit.gz"],
    ["big", "tarzstd", "big.tar.zst"],
    ["big", "zipzstd", "big.zip"],
    ["notes.txt", "raw", "notes.txt"],
  ])("of %j in format %j is %s", (name, format, expected) => {
    expect(artifactFileName(name, format)).toBe(expected);
  });
});

async function refuse(): Promise<void> {
  throw new Error("there is nothing to receive");
}
