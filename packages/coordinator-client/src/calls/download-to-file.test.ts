import { randomBytes } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";

import type { ArtifactFile, DownloadArtifactsResult, DownloadToFileOptions } from "../client.ts";
import type { Reply } from "../test-support/recording-server.ts";
import { startServer } from "../test-support/recording-server.ts";
import { dateIn } from "../test-support/fakes.ts";
import type { TestClient } from "../test-support/test-client.ts";
import { createTestClient, job, JOB_TOKEN } from "../test-support/test-client.ts";

const PART = 10_000;
const archive = randomBytes(95_000);

let folder: string;
let path: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "coordinator-client-download-"));
  path = join(folder, "artifacts.zip");
});
beforeEach(() => writeFile(path, randomBytes(200_000)));
afterAll(() => rm(folder, { recursive: true }));

type Answer = (request: IncomingMessage, response: ServerResponse, range: Range) => void;
interface Range {
  readonly start: number;
  readonly end: number;
}

const OBJECT = { etag: '"v1"', "accept-ranges": "bytes" };

/** Answers as object stores do: 206 with the part for a request with a range, 200 with everything else. */
const storeObject: Answer = (request, response, { start, end }) => {
  if (request.headers.range === undefined) {
    response.writeHead(200, OBJECT).end(archive);
    return;
  }
  const last = Math.min(end, archive.length - 1);
  response.writeHead(206, { ...OBJECT, "content-range": `bytes ${start}-${last}/${archive.length}` });
  response.end(archive.subarray(start, last + 1));
};

async function startStore(answer: Answer = storeObject): ReturnType<typeof startServer> {
  return await startServer((request, response) => {
    request.resume();
    const [, start = "0", end = "0"] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? [];
    answer(request, response, { start: Number(start), end: Number(end) });
  });
}

async function download(
  test: TestClient,
  options: DownloadToFileOptions = { partBytes: PART },
): Promise<DownloadArtifactsResult> {
  await using file = await open(path, "r+");
  return await test.client.downloadArtifactsToFile(job, file, options);
}

function pointingTo(url: string): Reply {
  return { status: 302, headers: { location: `${url}/bucket/a.zip?signature=1` } };
}

describe("downloadArtifactsToFile", () => {
  it("fetches an archive in object storage in parts, several at a time, without the job's token", async () => {
    let open = 0;
    let most = 0;
    await using store = await startStore((request, response, range) => {
      open += 1;
      most = Math.max(most, open);
      response.once("close", () => (open -= 1));
      // The others have to be on their way by then.
      setImmediate(() => setImmediate(() => storeObject(request, response, range)));
    });
    await using coordinator = await startServer(pointingTo(store.url));
    await using test = createTestClient({ url: coordinator.url });

    const result = await download(test, { partBytes: PART, parallelParts: 4 });

    expect(result).toMatchObject({ outcome: "succeeded", status: 200, tries: 1, attempts: 12, message: "" });
    expect((await readFile(path)).equals(archive)).toBe(true);
    expect(most).toBeGreaterThan(1);
    expect(most).toBeLessThanOrEqual(4);
    expect(coordinator.requests.map((request) => request.path)).toEqual([
      "/api/v4/jobs/7/artifacts?direct_download=true",
    ]);
    expect(coordinator.requests[0]?.headers["job-token"]).toBe(JOB_TOKEN);
    const [probe, ...parts] = store.requests;
    expect(probe?.headers.range).toBe("bytes=0-0");
    const ranges = Array.from(
      { length: 10 },
      (_, index) => `bytes=${index * PART}-${Math.min((index + 1) * PART, archive.length) - 1}`,
    );
    expect(parts).toHaveLength(ranges.length);
    expect(new Set(parts.map(({ headers }) => headers.range))).toEqual(new Set(ranges));
    for (const { headers } of parts)
      expect(headers).toMatchObject({ "if-match": '"v1"', "accept-encoding": "identity" });
    for (const { path: asked, headers } of store.requests) {
      expect(asked).toBe("/bucket/a.zip?signature=1");
      expect(headers["job-token"]).toBeUndefined();
    }
  });

  const troubles: readonly { readonly says: string; readonly answer: Answer }[] = [
    { says: "knows no ranges", answer: (_request, response) => response.writeHead(200, OBJECT).end(archive) },
    {
      says: "does not know the length",
      answer: (request, response, range) => {
        if (request.headers.range === undefined) storeObject(request, response, range);
        else response.writeHead(206, { "content-range": "bytes 0-0/*" }).end(archive.subarray(0, 1));
      },
    },
    {
      says: "refuses one of the parts",
      answer: (request, response, range) => {
        if (range.start === 3 * PART) response.writeHead(503).end();
        else storeObject(request, response, range);
      },
    },
    {
      says: "breaks off one of the parts",
      answer: (request, response, range) => {
        if (range.start !== 3 * PART) {
          storeObject(request, response, range);
          return;
        }
        response.writeHead(206, { "content-range": `bytes ${range.start}-${range.end}/${archive.length}` });
        response.write(archive.subarray(0, 100), () => response.destroy());
      },
    },
    {
      says: "gives another part than it was asked for",
      answer: (request, response, range) => {
        const shift = range.start === 3 * PART ? PART : 0;
        storeObject(request, response, { start: range.start + shift, end: range.end + shift });
      },
    },
    {
      says: "gives more than it announces",
      answer: (request, response, range) => {
        if (range.start !== 3 * PART) {
          storeObject(request, response, range);
          return;
        }
        response.writeHead(206, { "content-range": `bytes ${range.start}-${range.end}/${archive.length}` });
        response.end(randomBytes(PART + 1));
      },
    },
    {
      says: "gives less than it announces",
      answer: (request, response, range) => {
        if (range.start !== 3 * PART) {
          storeObject(request, response, range);
          return;
        }
        response.writeHead(206, { "content-range": `bytes ${range.start}-${range.end}/${archive.length}` });
        response.end(randomBytes(PART - 1));
      },
    },
    {
      says: "has another object by now",
      answer: (request, response, range) => {
        if (range.start === 3 * PART && request.headers["if-match"] === '"v1"') response.writeHead(412).end();
        else storeObject(request, response, range);
      },
    },
  ];

  it.each(troubles)("falls back to one stream when the store $says", async ({ answer }) => {
    await using store = await startStore(answer);
    await using coordinator = await startServer(pointingTo(store.url));
    await using test = createTestClient({ url: coordinator.url });

    const result = await download(test);

    expect(result).toMatchObject({ outcome: "succeeded", status: 200, tries: 1 });
    expect((await readFile(path)).equals(archive)).toBe(true);
    expect(coordinator.requests).toHaveLength(1);
    expect(store.requests.filter(({ headers }) => headers.range === undefined)).toHaveLength(1);
    expect(result.attempts).toBe(1 + store.requests.length);
  });

  it.each([
    { says: "there is no more than one part", options: { partBytes: 95_000 }, probes: 1 },
    { says: "parts are not wanted", options: { parallelParts: 1, partBytes: PART }, probes: 0 },
  ])("takes one stream when $says", async ({ options, probes }) => {
    await using store = await startStore();
    await using coordinator = await startServer(pointingTo(store.url));
    await using test = createTestClient({ url: coordinator.url });

    expect(await download(test, options)).toMatchObject({ outcome: "succeeded", attempts: 2 + probes, tries: 1 });
    expect((await readFile(path)).equals(archive)).toBe(true);
    expect(store.requests.filter(({ headers }) => headers.range !== undefined)).toHaveLength(probes);
  });

  it("takes what the coordinator sends by itself, and leaves nothing of an earlier try in the file", async () => {
    await using coordinator = await startServer(
      (_request, response) => {
        response.writeHead(200, { "content-length": "1000000" });
        response.write(randomBytes(150_000), () => response.destroy());
      },
      { status: 200, body: archive },
    );
    await using test = createTestClient({ url: coordinator.url });

    expect(await download(test)).toMatchObject({ outcome: "succeeded", tries: 2, attempts: 2 });
    expect((await readFile(path)).equals(archive)).toBe(true);
    expect(coordinator.requests.map((request) => request.path)).toEqual([
      "/api/v4/jobs/7/artifacts?direct_download=true",
      "/api/v4/jobs/7/artifacts",
    ]);
  });

  it("asks for the place of the archive once, without the retry layer, and comes back no earlier than told", async () => {
    await using coordinator = await startServer(
      { status: 503, headers: { "retry-after": "20" } },
      { status: 429, headers: { "ratelimit-resettime": dateIn(50_000) } },
      { status: 200, body: archive },
    );
    await using test = createTestClient({ url: coordinator.url });

    expect(await download(test)).toMatchObject({ outcome: "succeeded", tries: 2, attempts: 3, throttled: true });
    expect(test.time.waits).toEqual([20_000, 30_000]);
    expect(coordinator.requests.map((request) => request.path)).toEqual([
      "/api/v4/jobs/7/artifacts?direct_download=true",
      "/api/v4/jobs/7/artifacts",
      "/api/v4/jobs/7/artifacts",
    ]);
  });

  it.each([{ parts: true }, { parts: false }])(
    "passes on what the file rejects with (in parts: $parts)",
    async ({ parts }) => {
      await using store = await startStore();
      await using coordinator = await startServer(parts ? pointingTo(store.url) : { status: 200, body: archive });
      await using test = createTestClient({ url: coordinator.url });
      const full = new Error("no space left on device");
      const file: ArtifactFile = { truncate: async () => undefined, write: () => Promise.reject(full) };

      await expect(test.client.downloadArtifactsToFile(job, file, { partBytes: PART })).rejects.toBe(full);
      expect(coordinator.requests).toHaveLength(1);
    },
  );

  it("ends all parts at once when it is aborted", async () => {
    const controller = new AbortController();
    const closed = Promise.withResolvers<void>();
    let open = 0;
    await using store = await startStore((request, response, range) => {
      if (range.end === 0) {
        storeObject(request, response, range);
        return;
      }
      open += 1;
      response.once("close", () => {
        open -= 1;
        if (open === 0) closed.resolve();
      });
      response.writeHead(206, { "content-range": `bytes ${range.start}-${range.end}/${archive.length}` }).write("x");
      if (open === 10) controller.abort("stopped");
    });
    await using coordinator = await startServer(pointingTo(store.url));
    await using test = createTestClient({ url: coordinator.url });

    await expect(download(test, { partBytes: PART, signal: controller.signal })).rejects.toBe("stopped");
    await closed.promise;
    expect(coordinator.requests).toHaveLength(1);
  });

  it.each([{ parallelParts: 0 }, { partBytes: 0 }, { partBytes: 1.5 }])("refuses %o", async (options) => {
    await using test = createTestClient({ url: "http://h" });
    await expect(download(test, options)).rejects.toThrow(RangeError);
  });
});
