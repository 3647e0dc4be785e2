import { createHash } from "node:crypto";
import { readFile, readdir, rm, stat, symlink, utimes, writeFile } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { dirname, join } from "node:path";

import { CacheStoreError } from "@fleetfoot/cache-backend";
import type { CacheStore, PutOptions, PutsInParts } from "@fleetfoot/cache-backend";
import { createLocalStore } from "@fleetfoot/cache-backend-local";
import { createHttpStore, startObjectServer } from "@fleetfoot/cache-backend/testing";
import type { ObjectServer, RecordedRequest, ServedObject } from "@fleetfoot/cache-backend/testing";
import { hashCacheKey } from "@fleetfoot/cache-key";
import type { JobCache } from "@fleetfoot/coordinator-client";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { CacheBench } from "../test-support/cache-bench.ts";
import { realArchiver } from "./archiver.ts";
import type { CacheArchiver, CacheTransfer, RemoteCache } from "./types.ts";

let bench: CacheBench;

beforeEach(async () => {
  bench = await CacheBench.open();
});

afterEach(async () => {
  await bench.close();
});

const gems: JobCache = { key: "gems", paths: ["vendor"] };

describe("caches in a store", () => {
  let server: ObjectServer;
  let intercept:
    | ((request: RecordedRequest, response: ServerResponse, incoming: IncomingMessage) => boolean)
    | undefined;

  beforeEach(async () => {
    intercept = undefined;
    server = await startObjectServer({ intercept: (...facts) => intercept?.(...facts) ?? false });
    bench.store = {
      store: createHttpStore({ url: server.url }),
      path: "",
      shared: false,
      runnerShortToken: "AbCdEfGhI",
      maxUploadedArchiveBytes: 0,
    };
  });

  afterEach(async () => {
    await server.close();
  });

  const base = "runner/AbCdEfGhI/project/42";
  const requested = (method: string): string[] =>
    server.requests.filter((request) => request.method === method).map(({ name }) => name.replace(`${base}/`, ""));

  /** Saves an archive, takes it off this host, and forgets what happened. */
  async function saveElsewhere(entry: JobCache, files: Readonly<Record<string, string>>): Promise<void> {
    await bench.write(files);
    await bench.save(entry);
    await rm(bench.cacheDirectory, { recursive: true });
    await bench.clean();
    reset();
  }

  /** Another runner uploads an archive right before a request of this one is answered. */
  function replaceBefore(method: string | undefined, object: ServedObject): void {
    intercept = (request) => {
      if (request.method === method) server.objects.set(request.name, object);
      return false;
    };
  }

  function reset(): void {
    (server.requests as RecordedRequest[]).length = 0;
    bench.forget();
  }

  it("CA H11: are uploaded whole, with their key, platform and paths, and come back on another host", async () => {
    await bench.write({ "vendor/a": "one" });
    await bench.save(gems);
    const put = server.requests.find(({ method }) => method === "PUT");
    expect(put?.name).toBe(`${base}/gems`);
    const { size } = await stat(bench.archive("gems"));
    expect(put?.headers).toMatchObject({
      "content-length": String(size),
      "content-type": "application/octet-stream",
      "x-test-meta-cachekey": "gems",
      "x-test-meta-os": "linux",
      "x-test-meta-arch": "amd64",
      "x-test-meta-paths": expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    expect(put?.headers["transfer-encoding"]).toBeUndefined();
    const metadata: unknown = JSON.parse(await readFile(join(dirname(bench.archive("gems")), "metadata.json"), "utf8"));
    const sha256 = createHash("sha256")
      .update(await readFile(bench.archive("gems")))
      .digest("hex");
    expect(put?.headers["x-test-meta-sha256"]).toBe(sha256);

    await rm(bench.cacheDirectory, { recursive: true });
    await bench.clean();
    await bench.restore(gems);
    expect(await bench.read("vendor/a")).toBe("one");
    expect(await readFile(join(dirname(bench.archive("gems")), "metadata.json"), "utf8")).toBe(
      JSON.stringify({ ...(metadata as object), sha256 }),
    );
    expect(bench.events.at(-1)).toEqual({ kind: "hit", entry: 0, key: "gems", bytes: size });
  });

  it("CA A11: are looked for in the order primary, fallback keys, CACHE_FALLBACK_KEY", async () => {
    bench.variables = { EMPTY: "", CACHE_FALLBACK_KEY: "c" };
    await bench.restore({ ...gems, fallback_keys: ["a", "$EMPTY", "b/"] });
    expect(requested("GET")).toEqual(["gems", "a", "b", "c"]);
  });

  it("CA A16: are not downloaded under a policy that only saves, fallback keys included", async () => {
    await bench.restore({ ...gems, policy: "push", fallback_keys: ["a"] });
    expect(server.requests).toEqual([]);
    expect(bench.lines).toEqual([{ kind: "plain", text: expect.stringContaining("only saves") }]);
  });

  it("CA F1: are found under the first fallback key, and no further name is asked for", async () => {
    await saveElsewhere({ ...gems, key: "old" }, { "vendor/a": "one" });
    bench.variables = { CACHE_FALLBACK_KEY: "common" };
    await bench.restore({ ...gems, fallback_keys: ["old"] });
    expect(await bench.read("vendor/a")).toBe("one");
    expect(requested("GET")).toEqual(["gems", "old"]);
    expect(server.requests.filter(({ name }) => name.endsWith("/common"))).toEqual([]);
    expect(bench.events).toMatchObject([{ kind: "hit", key: "old" }]);
  });

  it("CA F2: are not downloaded when this host has an archive of the same time", async () => {
    await bench.write({ "vendor/a": "one" });
    await bench.save(gems);
    const stored = server.objects.get(`${base}/gems`);
    const local = await stat(bench.archive("gems"));
    const seconds = (stored?.modifiedAtMs ?? 0) / 1000;
    await utimes(bench.archive("gems"), seconds, seconds);
    await bench.clean();
    reset();
    await bench.restore(gems);
    expect(bench.lines).toEqual([{ kind: "info", text: expect.stringContaining("still up to date on this host") }]);
    expect((await stat(bench.archive("gems"))).ino).toBe(local.ino);
    expect(await bench.read("vendor/a")).toBe("one");
  });

  it("are not downloaded on the host that uploaded them, until another one uploads others", async () => {
    await bench.write({ "vendor/a": "one" });
    await bench.save(gems);
    const name = `${base}/gems`;
    const stored = server.objects.get(name);
    if (stored === undefined) throw new Error("nothing was stored");
    // A store's clock may be ahead, and its time is later than the archive's anyhow.
    server.objects.set(name, { ...stored, modifiedAtMs: Date.now() + 60_000 });
    const local = await stat(bench.archive("gems"));
    await bench.clean();
    reset();
    await bench.restore(gems);
    expect((await stat(bench.archive("gems"))).ino).toBe(local.ino);
    expect(bench.lines).toEqual([{ kind: "info", text: expect.stringContaining("still up to date on this host") }]);

    const other = await CacheBench.open(join(bench.top, "other"));
    other.store = bench.store;
    await other.write({ "vendor/a": "two" });
    await other.save(gems);
    server.objects.set(name, { ...(server.objects.get(name) ?? stored), modifiedAtMs: Date.now() + 60_000 });
    await bench.restore(gems);
    expect(await bench.read("vendor/a")).toBe("two");
  });

  it("come back through a directory that several hosts share", async () => {
    if (bench.store === undefined) throw new Error("there is no store");
    bench.store = { ...bench.store, store: createLocalStore({ directory: join(bench.top, "shared") }) };
    await bench.write({ "vendor/a": "one" });
    await bench.save(gems);
    await rm(bench.cacheDirectory, { recursive: true });
    await bench.clean();
    await bench.restore(gems);
    expect(await bench.read("vendor/a")).toBe("one");
    expect(bench.lines.at(-1)?.text).toContain("downloaded from local");
  });

  it("CA F3: are never extracted from a body that is shorter than announced", async () => {
    await saveElsewhere(gems, { "vendor/a": "one" });
    intercept = (request, response) => {
      if (request.method !== "GET") return false;
      response.writeHead(200, { "content-length": "1000" });
      response.write(new Uint8Array(500), () => response.destroy());
      return true;
    };
    await bench.restore(gems);
    expect(requested("GET")).toHaveLength(3);
    expect(bench.sleeps).toEqual([1000, 1000]);
    expect(bench.events).toMatchObject([{ kind: "miss" }]);
    expect(bench.warnings()).toHaveLength(1);
    expect(await readdir(dirname(bench.archive("gems")))).toEqual([]);
    expect(await readdir(bench.project)).toEqual([]);
  });

  it("CA F13: go on to the next key when the archive came whole but its checksum is wrong", async () => {
    await saveElsewhere({ ...gems, key: "old" }, { "vendor/a": "good" });
    await saveElsewhere(gems, { "vendor/a": "damaged damaged damaged" });
    const name = `${base}/gems`;
    const object = server.objects.get(name);
    if (object === undefined) throw new Error("nothing was stored");
    const content = Buffer.from(object.content);
    // The CRC-32 of the first entry that is a file, in the central directory.
    const position = content.indexOf("vendor/a", content.indexOf("PK\u0001\u0002")) - 30;
    content.writeUInt32LE((content.readUInt32LE(position) ^ 1) >>> 0, position);
    server.objects.set(name, { ...object, content });
    await bench.restore({ ...gems, fallback_keys: ["old"] });
    expect(await bench.read("vendor/a")).toBe("good");
    expect(bench.events).toMatchObject([{ kind: "hit", key: "old" }]);
    expect(bench.warnings()).toHaveLength(1);
  });

  it.each([
    { what: "are removed", replaced: false },
    { what: "stay when another runner has replaced them meanwhile", replaced: true },
  ])("count as missed when they are not what was stored, $what, and the next key is tried", async ({ replaced }) => {
    await saveElsewhere({ ...gems, key: "old" }, { "vendor/a": "old" });
    await saveElsewhere(gems, { "vendor/a": "new" });
    const stored = server.objects.get(`${base}/gems`);
    if (stored === undefined) throw new Error("nothing was stored");
    expect(stored.metadata["sha256"]).toMatch(/^[0-9a-f]{64}$/);
    const damaged = Uint8Array.from(stored.content, (byte, index) => (index === 40 ? byte ^ 1 : byte));
    server.objects.set(`${base}/gems`, { ...stored, content: damaged });
    replaceBefore(replaced ? "DELETE" : undefined, stored);
    await bench.restore({ ...gems, fallback_keys: ["old"] });
    expect(bench.events).toMatchObject([{ kind: "hit", key: "old" }]);
    expect(await bench.read("vendor/a")).toBe("old");
    expect(bench.warnings()).toEqual([expect.stringMatching(/SHA-256.*; this counts as a miss/)]);
    expect(server.objects.get(`${base}/gems`)).toBe(replaced ? stored : undefined);
    expect(await readdir(dirname(bench.archive("gems")))).toEqual([]);
  });

  it.each([
    { what: "are removed", replaced: false },
    { what: "stay when another job has replaced them meanwhile", replaced: true },
  ])("that came whole but cannot be used and have no digest $what", async ({ replaced }) => {
    await saveElsewhere(gems, { "vendor/a": "good" });
    const name = `${base}/gems`;
    const good = server.objects.get(name);
    if (good === undefined) throw new Error("nothing was stored");
    server.objects.set(name, { ...good, content: Buffer.from(good.content).subarray(0, -30), metadata: {} });
    replaceBefore(replaced ? "DELETE" : undefined, good);
    await bench.restore(gems);
    expect(bench.events).toMatchObject([{ kind: "miss" }]);
    expect(bench.warnings()).toHaveLength(1);
    expect(server.objects.get(name)).toBe(replaced ? good : undefined);
  });

  it("CA H14: are missed when the store has none, whatever lies on this host", async () => {
    await bench.write({ "vendor/a": "one" });
    await bench.save(gems);
    server.objects.clear();
    await bench.clean();
    reset();
    await bench.restore(gems);
    expect(bench.events).toEqual([{ kind: "miss", entry: 0, key: "gems" }]);
    expect(await bench.read("vendor/a")).toBeUndefined();
  });

  it("are taken from the alternate name where it is newer, or the only one", async () => {
    await saveElsewhere(gems, { "vendor/a": "plain name" });
    bench.hashKeys = true;
    await bench.restore(gems);
    expect(await bench.read("vendor/a")).toBe("plain name");
    expect(requested("GET")).toEqual(["gems"]);

    const hash = hashCacheKey("gems");
    await rm(bench.cacheDirectory, { recursive: true });
    await saveElsewhere(gems, { "vendor/a": "hashed name" });
    const [plain, hashed] = [`${base}/gems`, `${base}/${hash.slice(0, 2)}/${hash}`];
    for (const [newer, content] of [
      [plain, "plain name"],
      [hashed, "hashed name"],
    ] as const) {
      for (const name of [plain, hashed]) {
        const object = server.objects.get(name);
        if (object === undefined) throw new Error(`nothing was stored as ${name}`);
        server.objects.set(name, { ...object, modifiedAtMs: name === newer ? 2_000_000 : 1_000_000 });
      }
      await rm(bench.cacheDirectory, { recursive: true, force: true });
      await bench.restore(gems);
      expect(await bench.read("vendor/a")).toBe(content);
    }
  });

  it("are fetched in parts when the job wants it", async () => {
    const random = Buffer.from(crypto.getRandomValues(new Uint8Array(50_000))).toString("base64");
    await saveElsewhere(gems, { "vendor/a": random });
    bench.variables = { FF_USE_PARALLEL_CACHE_TRANSFER: "true", CACHE_CHUNK_SIZE: "20000" };
    await bench.restore(gems);
    expect(await bench.read("vendor/a")).toBe(random);
    const ranges = server.requests.flatMap(({ headers }) => headers["range"] ?? []);
    expect(ranges).toContain("bytes=20000-39999");
    bench.variables = { ...bench.variables, CACHE_CONCURRENCY: "-1" };
    reset();
    await bench.restore(gems);
    expect(bench.warnings()).toEqual([expect.stringContaining("CACHE_CONCURRENCY")]);
  });

  it("are uploaded in parts, and as slowly, as the job wants it", async () => {
    const asked: (PutOptions | undefined)[] = [];
    const { store } = bench.store as RemoteCache;
    const put: CacheStore["put"] = (name, body, options) => {
      asked.push(options);
      return store.put(name, body, options);
    };
    bench.store = { ...(bench.store as RemoteCache), store: { ...store, put } };
    await bench.write({ "vendor/a": "one" });
    bench.variables = { CACHE_CONCURRENCY: "3", CACHE_CHUNK_SIZE: "20000", CACHE_REQUEST_TIMEOUT: "3" };
    await bench.save(gems);
    bench.variables = { ...bench.variables, FF_USE_PARALLEL_CACHE_TRANSFER: "true" };
    await bench.save({ ...gems, key: "others" });
    const both = { partBytes: 20_000, attemptTimeoutMs: 180_000 };
    expect(asked).toMatchObject([
      { ...both, concurrency: 1 },
      { ...both, concurrency: 3 },
    ]);
    bench.variables = { CACHE_CHUNK_SIZE: "-1" };
    await bench.save({ ...gems, key: "more" });
    expect(asked).toHaveLength(2);
    expect(bench.warnings()).toEqual([expect.stringContaining("CACHE_CHUNK_SIZE")]);
  });

  it.each([
    { how: "are neither ended nor begun anew", where: "that limits each part by itself", inParts: true, puts: 1 },
    { how: "are ended and begun anew", where: "without parts", inParts: false, puts: 2 },
  ])("$how when one try has taken too long in a store $where", async ({ inParts, puts }) => {
    const limits: AbortController[] = [];
    const timeout = vi.spyOn(AbortSignal, "timeout").mockImplementation(() => {
      limits.push(new AbortController());
      return (limits.at(-1) as AbortController).signal;
    });
    try {
      const { store } = bench.store as RemoteCache;
      let tries = 0;
      const put: CacheStore["put"] = (name, body, options) => {
        tries += 1;
        // All the time that one try may take has passed.
        if (tries === 1) for (const limit of limits) limit.abort(new DOMException("too late", "TimeoutError"));
        options?.signal?.throwIfAborted();
        return store.put(name, body, options);
      };
      const slow = { ...store, put, ...(inParts ? { putsInParts: true } : {}) };
      bench.store = { ...(bench.store as RemoteCache), store: slow };
      await bench.write({ "vendor/a": "one" });
      await bench.save(gems);
      expect(tries).toBe(puts);
      expect(requested("PUT")).toEqual(["gems"]);
      expect(bench.warnings()).toEqual([]);
    } finally {
      timeout.mockRestore();
    }
  });

  it("are not repeated as a whole in a store that repeats each part by itself", async () => {
    const { store } = bench.store as RemoteCache;
    let tries = 0;
    const put: CacheStore["put"] = async (object) => {
      tries += 1;
      throw new CacheStoreError({ code: "unavailable", store: "parts", operation: "put", object, reason: "no answer" });
    };
    const inParts: CacheStore & PutsInParts = { ...store, put, putsInParts: true };
    bench.store = { ...(bench.store as RemoteCache), store: inParts };
    await bench.write({ "vendor/a": "one" });
    await bench.save(gems);
    expect(tries).toBe(1);
    expect(bench.warnings()).toEqual([expect.stringContaining("no answer")]);
  });

  it("are not sent from where a link leads that a job has put in the place of the archive", async () => {
    await writeFile(join(bench.top, "secret"), "secret");
    const createArchive: CacheArchiver["createArchive"] = async (options) => {
      const summary = await realArchiver.createArchive(options);
      await rm(options.archivePath);
      await symlink(join(bench.top, "secret"), options.archivePath);
      return summary;
    };
    bench.extra = { archiver: { ...realArchiver, createArchive } };
    await bench.write({ "vendor/a": "one" });
    await bench.save(gems);
    expect(requested("PUT")).toEqual([]);
    expect(bench.warnings()).toEqual([expect.stringContaining("is no file")]);
  });

  it("are downloaded once for jobs of one host that want them at the same time, and each job gets them", async () => {
    await saveElsewhere(gems, { "vendor/a": "one" });
    const other = await CacheBench.open(join(bench.top, "other"));
    other.store = bench.store;
    const seen: CacheTransfer[] = [];
    other.extra = { cacheDirectory: bench.cacheDirectory, onTransfer: (transfer) => seen.push(transfer) };
    await Promise.all([bench.restore(gems), other.restore(gems)]);
    expect(requested("GET")).toEqual(["gems"]);
    expect([await bench.read("vendor/a"), await other.read("vendor/a")]).toEqual(["one", "one"]);
    expect(other.lines.map(({ text }) => text)).toEqual([
      "Waiting for the download of cache gems by another job",
      expect.stringContaining("together with another job"),
    ]);
    const { size: bytes } = await stat(bench.archive("gems"));
    expect(seen.at(-1)).toEqual({ direction: "download", key: "gems", bytes, totalBytes: bytes });
  });

  it("are neither made nor uploaded under a policy that saves what is absent, when the store has one", async () => {
    await saveElsewhere(gems, { "vendor/a": "one" });
    await bench.write({ "vendor/a": "two" });
    await bench.save({ ...gems, policy: "push-if-absent" });
    expect([requested("HEAD"), requested("PUT"), bench.events]).toEqual([["gems"], [], []]);
    server.objects.clear();
    await bench.save({ ...gems, policy: "push-if-absent" });
    expect(requested("PUT")).toEqual(["gems"]);
  });

  it("CA E1: are neither made nor uploaded when nothing changed and the store has them", async () => {
    await bench.write({ "vendor/a": "one" });
    await bench.save(gems);
    reset();
    await bench.save(gems);
    expect(server.requests.map(({ method }) => method)).toEqual(["HEAD"]);
    expect(bench.events).toMatchObject([{ kind: "unchanged" }]);
  });

  it("CA E2: are uploaded as they are when nothing changed but the store has none", async () => {
    await bench.write({ "vendor/a": "one" });
    await bench.save(gems);
    const before = await stat(bench.archive("gems"));
    server.objects.clear();
    reset();
    await bench.save(gems);
    expect((await stat(bench.archive("gems"))).ino).toBe(before.ino);
    expect(server.requests.map(({ method }) => method)).toEqual(["HEAD", "PUT"]);
    const stored = server.objects.get(`${base}/gems`);
    expect(Buffer.compare(stored?.content ?? new Uint8Array(), await readFile(bench.archive("gems")))).toBe(0);
    expect(stored?.metadata).toMatchObject({ cachekey: "gems", os: "linux" });
  });

  it("are uploaded by the next job when their upload failed, though the store has an older archive", async () => {
    await bench.write({ "vendor/a": "one" });
    await bench.save(gems);
    const older = server.objects.get(`${base}/gems`);
    if (older === undefined) throw new Error("nothing was stored");
    server.objects.set(`${base}/gems`, { ...older, modifiedAtMs: Date.now() - 60_000 });
    await bench.write({ "vendor/b": "two" });
    intercept = (request, response, incoming) => {
      if (request.method !== "PUT") return false;
      incoming.resume().on("end", () => response.writeHead(403).end());
      return true;
    };
    await bench.save(gems);
    expect(bench.events.map(({ kind }) => kind)).toEqual(["saved", "failed"]);
    intercept = undefined;
    reset();
    await bench.restore(gems);
    await bench.save(gems);
    expect(requested("PUT")).toEqual(["gems"]);
    const stored = server.objects.get(`${base}/gems`)?.content ?? new Uint8Array();
    expect(Buffer.compare(stored, await readFile(bench.archive("gems")))).toBe(0);
    reset();
    await bench.save(gems);
    expect(requested("PUT")).toEqual([]);
  });

  it("are not taken for uploaded when another job replaced the archive during the upload", async () => {
    const remote = bench.store;
    if (remote === undefined) throw new Error("there is no store");
    const other = await CacheBench.open(join(bench.top, "other"));
    other.extra = { cacheDirectory: bench.cacheDirectory };
    await other.write({ "vendor/a": "two", "vendor/b": "two" });
    const replacing = {
      ...remote.store,
      put: async (...given: Parameters<typeof remote.store.put>) => {
        const facts = await remote.store.put(...given);
        await other.save(gems);
        return facts;
      },
    };
    await bench.write({ "vendor/a": "one" });
    bench.store = { ...remote, store: replacing };
    await bench.save(gems);
    const stored = server.objects.get(`${base}/gems`);
    if (stored === undefined) throw new Error("nothing was stored");
    server.objects.set(`${base}/gems`, { ...stored, modifiedAtMs: Date.now() - 60_000 });
    reset();
    other.store = remote;
    await other.save(gems);
    expect(requested("PUT")).toEqual(["gems"]);
  });

  it("never replace one that came after the look, under a policy that saves what is absent", async () => {
    await saveElsewhere(gems, { "vendor/a": "one" });
    await bench.write({ "vendor/a": "two" });
    const before = server.objects.get(`${base}/gems`);
    intercept = (request, response) => {
      if (request.method !== "HEAD") return false;
      response.writeHead(404).end();
      return true;
    };
    await bench.save({ ...gems, policy: "push-if-absent" });
    expect(requested("PUT")).toEqual(["gems"]);
    expect(server.objects.get(`${base}/gems`)).toEqual(before);
    expect(bench.warnings()).toEqual([]);
    expect(bench.lines.at(-1)?.text).toContain("another job was first");
  });

  it("CA D10: are neither made nor uploaded when no file matches, and the old archive stays", async () => {
    await bench.write({ "vendor/a": "one" });
    await bench.save(gems);
    const before = await stat(bench.archive("gems"));
    await bench.clean();
    server.objects.clear();
    reset();
    await bench.save(gems);
    expect(server.requests).toEqual([]);
    expect(bench.warnings()).toContain(`No files were found in the working directory ${bench.project}.`);
    expect((await stat(bench.archive("gems"))).ino).toBe(before.ino);
  });

  it("CA H7: are not uploaded again when nobody may ask whether the store has them", async () => {
    await bench.write({ "vendor/a": "one" });
    await bench.save(gems);
    reset();
    intercept = (request, response) => {
      if (request.method !== "HEAD") return false;
      response.writeHead(403).end();
      return true;
    };
    await bench.save(gems);
    expect(server.requests.map(({ method }) => method)).toEqual(["HEAD"]);
    expect(bench.events).toMatchObject([{ kind: "unchanged" }]);
    expect(bench.lines.map(({ text }) => text).join("\n")).toMatch(
      /unchanged; whether .* could not be found out: .*403/,
    );
    expect(bench.warnings()).toEqual([]);
  });

  it("are not called uploaded when the store does not answer", async () => {
    await bench.write({ "vendor/a": "one" });
    await bench.save(gems);
    intercept = (_request, response) => {
      response.destroy();
      return true;
    };
    await bench.save(gems);
    expect(bench.warnings()).toEqual([expect.stringMatching(/unchanged; whether .* could not be found out/)]);
    await bench.clean();
    await bench.restore(gems);
    expect(bench.warnings().at(-1)).toContain("Cache gems could not be downloaded: ");
  });

  it("CA E3: are made anew beside the old archive and uploaded when one file is newer", async () => {
    await bench.write({ "vendor/a": "one" });
    await bench.save(gems);
    const before = await stat(bench.archive("gems"));
    await writeFile(join(bench.project, "vendor/a"), "two");
    await utimes(join(bench.project, "vendor/a"), Date.now() / 1000 + 60, Date.now() / 1000 + 60);
    reset();
    await bench.save(gems);
    const after = await stat(bench.archive("gems"));
    expect(after.ino).not.toBe(before.ino);
    expect(requested("PUT")).toEqual(["gems"]);
    const stored = server.objects.get(`${base}/gems`);
    expect(Buffer.compare(stored?.content ?? new Uint8Array(), await readFile(bench.archive("gems")))).toBe(0);
    expect((await readdir(dirname(bench.archive("gems")))).sort()).toEqual(
      [...bench.companions("gems"), "manifest.json"].sort(),
    );
  });

  it("CA E4: are uploaded up to the limit, and stay on this host above it", async () => {
    await bench.write({ "vendor/a": "one" });
    await bench.save({ ...gems, key: "measured" });
    const { size } = await stat(bench.archive("measured"));
    const remote = bench.store;
    if (remote === undefined) throw new Error("there is no store");
    for (const [key, limit] of [
      ["allowed", size],
      ["too-long", size - 1],
    ] as const) {
      bench.store = { ...remote, maxUploadedArchiveBytes: limit };
      await bench.save({ ...gems, key });
      expect((await stat(bench.archive(key))).size).toBe(size);
    }
    expect(requested("PUT")).toEqual(["measured", "allowed"]);
    expect(bench.events.map(({ kind }) => kind)).toEqual(["saved", "saved", "saved"]);
    bench.variables = { CACHE_MAX_UPLOADED_ARCHIVE_SIZE: String(size - 1) };
    bench.store = remote;
    await bench.save({ ...gems, key: "too-long-too" });
    expect(requested("PUT")).toHaveLength(2);
  });

  it("CA E5: are uploaded after two waits of a second when the store answers 500 twice", async () => {
    await bench.write({ "vendor/a": "one" });
    let puts = 0;
    intercept = (request, response, incoming) => {
      if (request.method !== "PUT") return false;
      puts += 1;
      if (puts > 2) return false;
      incoming.resume().on("end", () => response.writeHead(500).end());
      return true;
    };
    await bench.save(gems);
    expect(bench.sleeps).toEqual([1000, 1000]);
    expect(requested("PUT")).toHaveLength(3);
    expect(bench.warnings()).toEqual([]);
    const stored = server.objects.get(`${base}/gems`);
    expect(Buffer.compare(stored?.content ?? new Uint8Array(), await readFile(bench.archive("gems")))).toBe(0);
  });

  it("CA E6: are given up after one attempt when the store refuses, with its code and text", async () => {
    await bench.write({ "vendor/a": "one" });
    intercept = (request, response, incoming) => {
      if (request.method !== "PUT") return false;
      const text = "<Error><Code>AccessDenied</Code><Message>Not for you</Message></Error>";
      incoming.resume().on("end", () => response.writeHead(403, { "content-type": "application/xml" }).end(text));
      return true;
    };
    await bench.save(gems, { ...gems, key: "second" });
    expect(requested("PUT")).toEqual(["gems", "second"]);
    expect(bench.sleeps).toEqual([]);
    expect(bench.warnings()[0]).toMatch(/AccessDenied.*Not for you/);
    expect(bench.events.map(({ kind }) => kind)).toEqual(["failed", "failed"]);
    expect((await stat(bench.archive("gems"))).isFile()).toBe(true);
  });

  it("have relative names in the store, however the configured prefix was written", async () => {
    await bench.write({ "vendor/a": "one" });
    const remote = bench.store;
    if (remote === undefined) throw new Error("there is no store");
    bench.store = { ...remote, path: "/prefix/" };
    await bench.save(gems);
    const put = server.requests.find(({ method }) => method === "PUT");
    expect(put?.name).toBe(`prefix/${base}/gems`);
  });
});
