import { createHash } from "node:crypto";
import { mkdtemp, readFile, readdir, rm, stat, utimes, writeFile } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { downloadToFile } from "./download.ts";
import type { DownloadOptions, DownloadResult } from "./download.ts";
import { createMemoryStore } from "./memory-store.ts";
import { bodyOf, createHttpStore, startObjectServer, streamOf } from "./testing/index.ts";
import type { ObjectServer, RecordedRequest } from "./testing/index.ts";

const mebibyte = 1024 * 1024;
const modifiedAtMs = Date.parse("2026-03-01T10:00:00Z");

let directory: string;
let path: string;
let server: ObjectServer;
let sleeps: number[];
let intercept: ((request: RecordedRequest, response: ServerResponse, incoming: IncomingMessage) => boolean) | undefined;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "download-"));
  path = join(directory, "cache.zip");
  server = await startObjectServer({ intercept: (...facts) => intercept?.(...facts) ?? false });
  sleeps = [];
  intercept = undefined;
});

afterEach(async () => {
  await server.close();
  await rm(directory, { recursive: true });
});

function download(options: DownloadOptions = {}): Promise<DownloadResult> {
  return downloadToFile(createHttpStore({ url: server.url }), "k", path, { sleep, ...options });
}

async function sleep(milliseconds: number): Promise<void> {
  sleeps.push(milliseconds);
}

function serve(content: Uint8Array): void {
  server.objects.set("k", { content, modifiedAtMs, metadata: {} });
}

/** Content of which no two parts look alike. */
function counted(bytes: number): Uint8Array {
  const content = new Uint32Array(Math.ceil(bytes / 4)).map((_, index) => index);
  return new Uint8Array(content.buffer).subarray(0, bytes);
}

describe("downloadToFile", () => {
  it("writes a file of mode 0600 with the time of the object", async () => {
    serve(counted(100_000));
    expect(await download()).toMatchObject({ outcome: "downloaded", facts: { bytes: 100_000, modifiedAtMs } });
    expect(Buffer.compare(await readFile(path), counted(100_000))).toBe(0);
    const { mode, mtimeMs } = await stat(path);
    expect([mode & 0o777, mtimeMs]).toEqual([0o600, modifiedAtMs]);
    expect(await readdir(directory)).toEqual(["cache.zip"]);
  });

  it("leaves the rest to the next turn of the event loop when much has come at once", async () => {
    const content = counted(8 * mebibyte);
    const chunk = mebibyte / 16;
    const chunks = Array.from({ length: 128 }, (_, index) => content.subarray(index * chunk, (index + 1) * chunk));
    const store = createMemoryStore();
    await store.put("k", { bytes: content.byteLength, open: () => ReadableStream.from(chunks) });
    let inThisTurn = 0;
    let mostInOneTurn = 0;
    let ends = setImmediate(function nextTurn() {
      inThisTurn = 0;
      ends = setImmediate(nextTurn);
    });
    let before = 0;
    const onProgress = ({ bytes }: { readonly bytes: number }): void => {
      inThisTurn += bytes - before;
      before = bytes;
      mostInOneTurn = Math.max(mostInOneTurn, inThisTurn);
    };
    try {
      await downloadToFile(store, "k", path, { concurrency: 8, chunkBytes: mebibyte, onProgress });
    } finally {
      clearImmediate(ends);
    }
    expect((await readFile(path)).equals(content)).toBe(true);
    // Twice what is handled in a row, since the two of them may take turns in one phase, and a chunk more of each part.
    expect(mostInOneTurn).toBeLessThanOrEqual(2 * (mebibyte / 4 + 8 * chunk));
  });

  it("says that there is no object, after one request", async () => {
    expect(await download()).toEqual({ outcome: "absent" });
    expect(server.requests).toHaveLength(1);
    expect(await readdir(directory)).toEqual([]);
  });

  it("CA F2: writes nothing when the object is not newer than asked for", async () => {
    serve(counted(1000));
    await writeFile(path, "what is there");
    await utimes(path, 0, modifiedAtMs / 1000);
    expect(await download({ newerThanMs: modifiedAtMs })).toMatchObject({ outcome: "up-to-date" });
    expect(await readFile(path, "utf8")).toBe("what is there");
    expect(server.requests.map(({ method }) => method)).toEqual(["HEAD"]);
    expect(await download({ newerThanMs: modifiedAtMs - 1 })).toMatchObject({ outcome: "downloaded" });
    expect((await stat(path)).size).toBe(1000);
  });

  it("asks for the object itself when it may not ask whether it is newer", async () => {
    serve(counted(1000));
    intercept = (request, response) => {
      if (request.method !== "HEAD") return false;
      response.writeHead(403).end();
      return true;
    };
    expect(await download({ newerThanMs: modifiedAtMs })).toMatchObject({ outcome: "up-to-date" });
    expect(await download({ newerThanMs: modifiedAtMs - 1 })).toMatchObject({ outcome: "downloaded" });
  });

  it("goes on behind the last byte that came, however few came since the last write", async () => {
    serve(counted(700_000));
    let answers = 0;
    intercept = (_request, response) => {
      answers += 1;
      if (answers > 1) return false;
      response.writeHead(200, { "content-length": "700000", etag: '"v"', "last-modified": new Date(0).toUTCString() });
      response.write(counted(600_001), () => response.destroy());
      return true;
    };
    await download().catch(() => {});
    expect(server.requests[1]?.headers["range"]).toBe("bytes=600001-699999");
  });

  it("writes nothing when the object has the version that is not wanted, however new it is", async () => {
    serve(counted(1000));
    const version = (await createHttpStore({ url: server.url }).head("k"))?.version;
    expect(await download({ newerThanMs: 0, unlessVersion: version })).toMatchObject({ outcome: "up-to-date" });
    serve(counted(999));
    expect(await download({ newerThanMs: 0, unlessVersion: version })).toMatchObject({ outcome: "downloaded" });
  });

  it("CA F3: tries again when the body is shorter than its Content-Length, and leaves nothing of it", async () => {
    serve(counted(1000));
    let answers = 0;
    intercept = (_request, response) => {
      answers += 1;
      if (answers > 2) return false;
      response.writeHead(200, { "content-length": "1000", "last-modified": new Date(modifiedAtMs).toUTCString() });
      response.write(counted(500), () => response.destroy());
      return true;
    };
    expect(await download()).toMatchObject({ outcome: "downloaded" });
    expect(sleeps).toEqual([1000, 1000]);
    expect(Buffer.compare(await readFile(path), counted(1000))).toBe(0);
    expect(await readdir(directory)).toEqual(["cache.zip"]);
  });

  it("goes on in a further try where the one before ended, with the same version", async () => {
    serve(counted(100_000));
    let first: ServerResponse | undefined;
    intercept = ({ headers }, response) => {
      if (headers["range"] !== undefined || first !== undefined) return false;
      first = response;
      const tag = `"${createHash("md5").update(counted(100_000)).digest("hex")}"`;
      response.writeHead(200, {
        "content-length": "100000",
        etag: tag,
        "last-modified": new Date(modifiedAtMs).toUTCString(),
      });
      response.write(counted(60_000));
      return true;
    };
    const progress: number[] = [];
    const told = ({ bytes }: { readonly bytes: number }): void => {
      progress.push(bytes);
      if (bytes === 60_000) first?.destroy();
    };
    expect(await download({ onProgress: told })).toMatchObject({ outcome: "downloaded" });
    expect(sleeps).toEqual([1000]);
    const [, resumed] = server.requests;
    expect(resumed?.headers["range"]).toBe("bytes=60000-99999");
    expect(resumed?.headers["if-match"]).toBeDefined();
    expect(progress.at(-1)).toBe(100_000);
    expect(Buffer.compare(await readFile(path), counted(100_000))).toBe(0);
  });

  it("starts over when the object was replaced between two tries", async () => {
    serve(counted(100_000));
    let cut = true;
    intercept = ({ headers }, response) => {
      if (headers["range"] !== undefined || !cut) return false;
      cut = false;
      response.writeHead(200, { "content-length": "100000", etag: '"old"' });
      response.write(new Uint8Array(60_000).fill(1), () => response.destroy());
      return true;
    };
    expect(await download()).toMatchObject({ outcome: "downloaded" });
    expect(Buffer.compare(await readFile(path), counted(100_000))).toBe(0);
    expect(sleeps).toEqual([1000, 1000]);
  });

  it("CA F3: gives up after three tries, and the file that was there stays", async () => {
    await writeFile(path, "old");
    intercept = (_request, response) => {
      response.writeHead(200, { "content-length": "1000" });
      response.write(counted(500), () => response.destroy());
      return true;
    };
    await expect(download()).rejects.toMatchObject({ code: "truncated", retryable: true });
    expect(server.requests).toHaveLength(3);
    expect(await readFile(path, "utf8")).toBe("old");
    expect(await readdir(directory)).toEqual(["cache.zip"]);
  });

  it.each([
    { how: "in one", parts: {} },
    { how: "in parts", parts: { concurrency: 4, chunkBytes: 1000 } },
  ])("verifies the digest that was stored with the object, fetched $how", async ({ parts }) => {
    const content = counted(10_500);
    const sha256 = createHash("sha256").update(content).digest("hex");
    server.objects.set("k", { content, modifiedAtMs, metadata: { sha256 } });
    expect(await download(parts)).toMatchObject({ outcome: "downloaded" });
    expect(Buffer.compare(await readFile(path), content)).toBe(0);

    await writeFile(path, "old");
    server.objects.set("k", { content: counted(10_500).fill(7, 9000, 9001), modifiedAtMs, metadata: { sha256 } });
    const version = (await createHttpStore({ url: server.url }).head("k"))?.version;
    const mismatch = { code: "digest-mismatch", retryable: true, version };
    await expect(download(parts)).rejects.toMatchObject(mismatch);
    expect(sleeps).toEqual([1000, 1000]);
    expect(await readFile(path, "utf8")).toBe("old");
    expect(await readdir(directory)).toEqual(["cache.zip"]);
  });

  it("starts over when the digest is wrong, and takes what is right then", async () => {
    const content = counted(10_500);
    const sha256 = createHash("sha256").update(content).digest("hex");
    server.objects.set("k", { content, modifiedAtMs, metadata: { sha256 } });
    let answers = 0;
    intercept = (_request, response) => {
      answers += 1;
      if (answers > 1) return false;
      const headers = { "content-length": "10500", "x-test-meta-sha256": sha256 };
      response.writeHead(200, headers).end(counted(10_500).fill(7, 0, 1));
      return true;
    };
    expect(await download()).toMatchObject({ outcome: "downloaded" });
    expect(Buffer.compare(await readFile(path), content)).toBe(0);
  });

  it("takes the failure of a body that knows nothing of stores for the transport's", async () => {
    const store = createMemoryStore();
    await store.put("k", bodyOf("x"));
    const facts = { bytes: 6, modifiedAtMs, version: "1", metadata: {} };
    const broken = {
      ...store,
      get: async () => ({ facts, body: streamOf([new Uint8Array(3)], { error: new Error("reset") }) }),
    };
    await expect(downloadToFile(broken, "k", path, { sleep })).rejects.toMatchObject({ code: "unavailable" });
  });

  it("does not try again when the service refuses", async () => {
    intercept = (_request, response) => {
      response.writeHead(403).end("<Error><Code>AccessDenied</Code><Message>no</Message></Error>");
      return true;
    };
    await expect(download()).rejects.toMatchObject({ code: "access-denied", serviceCode: "AccessDenied" });
    expect(server.requests).toHaveLength(1);
  });

  it("does not try again when the file cannot be written", async () => {
    serve(counted(1000));
    path = join(directory, "absent", "cache.zip");
    await expect(download()).rejects.toMatchObject({ code: "ENOENT" });
    expect(server.requests).toHaveLength(1);
  });

  it("stops, and leaves nothing, when its signal is aborted", async () => {
    const abort = new AbortController();
    const reason = new Error("no longer wanted");
    intercept = (_request, response) => {
      response.writeHead(200, { "content-length": "1000" });
      response.write(counted(500), () => abort.abort(reason));
      return true;
    };
    await expect(download({ signal: abort.signal })).rejects.toBe(reason);
    expect(await readdir(directory)).toEqual([]);
  });

  it("ends a try that takes too long, and says so", async () => {
    intercept = () => true;
    const failed = download({ attemptTimeoutMs: 20, maxAttempts: 2 });
    await expect(failed).rejects.toMatchObject({ code: "timeout", retryable: true });
    expect(server.requests).toHaveLength(2);
  });
});

describe("downloadToFile in parts", () => {
  it("CA F14: fetches the whole in one when the probe is answered with 200", async () => {
    serve(counted(3000));
    intercept = (request, response) => {
      if (request.headers["range"] === undefined) return false;
      response.writeHead(200, { "content-length": "3000" }).end(counted(3000));
      return true;
    };
    expect(await download({ concurrency: 4, chunkBytes: 1000 })).toMatchObject({ outcome: "downloaded" });
    expect(server.requests.map(({ headers }) => headers["range"])).toEqual(["bytes=0-0", undefined]);
    expect(Buffer.compare(await readFile(path), counted(3000))).toBe(0);
  });

  it("CA F15: fetches 40 MiB in parts of 16 MiB", async () => {
    const content = counted(40 * mebibyte);
    serve(content);
    expect(await download({ concurrency: 16 })).toMatchObject({ outcome: "downloaded" });
    const [probe, ...ranges] = server.requests.map(({ headers }) => headers["range"]);
    expect(probe).toBe("bytes=0-0");
    expect(new Set(ranges)).toEqual(
      new Set(["bytes=0-16777215", "bytes=16777216-33554431", "bytes=33554432-41943039"]),
    );
    expect(ranges).toHaveLength(3);
    expect(Buffer.compare(await readFile(path), content)).toBe(0);
  });

  it("fetches in one what is not longer than one part, and an empty object", async () => {
    for (const bytes of [1000, 0]) {
      serve(counted(bytes));
      expect(await download({ concurrency: 4, chunkBytes: 1000 })).toMatchObject({ outcome: "downloaded" });
      expect(server.requests.at(-1)?.headers["range"]).toBeUndefined();
      expect((await stat(path)).size).toBe(bytes);
    }
  });

  it("never fetches more parts at once than it may", async () => {
    serve(counted(10_000));
    let open = 0;
    let most = 0;
    intercept = (request, response) => {
      if (request.headers["range"] === "bytes=0-0") return false;
      open += 1;
      most = Math.max(most, open);
      response.on("close", () => {
        open -= 1;
      });
      return false;
    };
    await download({ concurrency: 3, chunkBytes: 1000 });
    expect(most).toBeLessThanOrEqual(3);
    expect(server.requests).toHaveLength(11);
  });

  it("asks for nothing more when the probe shows that the object is not newer", async () => {
    serve(counted(3000));
    const result = await download({ concurrency: 4, chunkBytes: 1000, newerThanMs: modifiedAtMs });
    expect(result).toMatchObject({ outcome: "up-to-date" });
    expect(server.requests).toHaveLength(1);
  });

  it.each(["another version", "the whole object with 200", "another start"])(
    "CA H16: starts over when a later part is answered with %s",
    async (how) => {
      serve(counted(3000));
      let replaced = false;
      intercept = (request, response) => {
        if (replaced || request.headers["range"] !== "bytes=1000-1999") return false;
        replaced = true;
        if (how === "another version") serve(counted(3000).map((byte) => byte ^ 0xff));
        if (how === "another version") return false;
        const whole = { "content-length": "3000", etag: request.headers["if-match"] ?? "" };
        const other = { "content-length": "1000", "content-range": "bytes 0-999/3000", etag: whole.etag };
        if (how === "another start") response.writeHead(206, other).end(counted(1000));
        else response.writeHead(200, whole).end(counted(3000));
        return true;
      };
      const options = { concurrency: 2, chunkBytes: 1000 };
      if (how === "the whole object with 200") {
        await expect(download({ ...options, maxAttempts: 1 })).rejects.toMatchObject({ code: "object-changed" });
        expect(await readdir(directory)).toEqual([]);
        replaced = false;
      }
      expect(await download(options)).toMatchObject({ outcome: "downloaded" });
      expect(sleeps).toEqual([1000]);
      const expected = how === "another version" ? counted(3000).map((byte) => byte ^ 0xff) : counted(3000);
      expect(Buffer.compare(await readFile(path), expected)).toBe(0);
      expect(await readdir(directory)).toEqual(["cache.zip"]);
    },
  );
});
