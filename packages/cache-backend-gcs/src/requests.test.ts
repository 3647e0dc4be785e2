import { createVerify, generateKeyPairSync, createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { inspect } from "node:util";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { bodyOf, counted } from "@fleetfoot/cache-backend/testing";
import { expireCaches } from "./bucket.ts";
import { createGcsStore } from "./gcs-store.ts";
import type { GcsStore } from "./gcs-store.ts";
import type { GcsStoreOptions } from "./options.ts";
import { startRecordingServer } from "@fleetfoot-tooling/systems/recording";
import type { Recorded, RecordingServer } from "@fleetfoot-tooling/systems/recording";

// What leaves this host for the service itself, which cannot run on it: every request is recorded by a server on loopback.

const hour = 3_600_000;
const mebibyte = 1024 * 1024;
const now = Date.parse("2026-11-21T12:00:00Z");
const { privateKey, publicKey } = generateKeyPairSync("rsa", {
  modulusLength: 2048,
  privateKeyEncoding: { type: "pkcs8", format: "pem" },
  publicKeyEncoding: { type: "spki", format: "pem" },
});
const accessId = "signer@project.iam.gserviceaccount.com";
let server: RecordingServer;
let answer: (request: Recorded, response: ServerResponse) => void;

beforeEach(async () => {
  answer = () => {};
  server = await startRecordingServer((request, response) => {
    if (!request.url.pathname.endsWith("/token")) return answer(request, response);
    const token = JSON.stringify({ access_token: "token-of-the-test", expires_in: 3600, token_type: "Bearer" });
    return void response.writeHead(200, { "content-type": "application/json" }).end(token);
  });
  for (const name of ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"]) vi.stubEnv(name, "http://127.0.0.1:1");
});

afterEach(async () => {
  vi.unstubAllEnvs();
  await server[Symbol.asyncDispose]();
});

function open(options: Partial<GcsStoreOptions> = {}): GcsStore {
  const { dispatcher } = server;
  const sleep = async (): Promise<void> => {};
  return createGcsStore({ bucket: "caches", accessId, privateKey, dispatcher, now: () => now, sleep, ...options });
}

/** Checks a signature as the service does, from nothing but the request. */
function isSigned(method: string, url: URL, headers: Readonly<Record<string, string>>): boolean {
  const search = url.search.slice(1).replace(/&X-Goog-Signature=.*/, "");
  const { searchParams } = url;
  const names = searchParams.get("X-Goog-SignedHeaders") ?? "";
  const sent: Readonly<Record<string, string>> = { ...headers, host: url.host };
  const lines = names.split(";").map((name) => `${name}:${sent[name] ?? ""}\n`);
  const canonical = [method, url.pathname, search, lines.join(""), names, "UNSIGNED-PAYLOAD"].join("\n");
  const time = searchParams.get("X-Goog-Date") ?? "";
  const scope = (searchParams.get("X-Goog-Credential") ?? "").split("/").slice(1).join("/");
  const digest = createHash("sha256").update(canonical).digest("hex");
  const text = ["GOOG4-RSA-SHA256", time, scope, digest].join("\n");
  const signature = Buffer.from(searchParams.get("X-Goog-Signature") ?? "", "hex");
  return createVerify("RSA-SHA256").update(text).verify(publicKey, signature);
}

describe("requests of the GCS store", () => {
  it("carry a token, and none of them, not even for the token, asks the environment for a proxy", async () => {
    answer = (_request, response) => void response.writeHead(200, { "x-goog-generation": "1" }).end();
    expect(await open().head("a/b c")).toMatchObject({ version: "1" });
    expect(server.requests.map(({ method, url }) => `${method} ${url.href}`)).toEqual([
      "POST https://oauth2.googleapis.com/token",
      "HEAD https://storage.googleapis.com/caches/a/b%20c",
    ]);
    expect(server.requests[1]?.headers.authorization).toBe("Bearer token-of-the-test");
  });

  it("let a bucket forget caches, beside the rules of others, unless somebody changes them at the same time", async () => {
    const own = { action: { type: "Delete" }, condition: { age: 3, matchesPrefix: ["logs/"] } };
    const earlier = { action: { type: "Delete" }, condition: { age: 30, matchesPrefix: ["runner/"] } };
    answer = (request, response) => {
      const bucket = { metageneration: "7", lifecycle: { rule: [earlier, own] } };
      response.writeHead(200, { "content-type": "application/json" });
      response.end(JSON.stringify(request.method === "GET" ? bucket : {}));
    };
    const options = { bucket: "caches", accessId, privateKey, dispatcher: server.dispatcher };
    await expireCaches(options, { prefix: "runner/", days: 14 });
    const [, asked, changed] = server.requests;
    expect(asked?.url.pathname).toBe("/storage/v1/b/caches");
    expect([changed?.method, changed?.url.search]).toEqual(["PATCH", "?ifMetagenerationMatch=7"]);
    const rule = [own, { ...earlier, condition: { ...earlier.condition, age: 14 } }];
    expect(JSON.parse(changed?.body ?? "")).toEqual({ lifecycle: { rule } });
  });

  it("go to the domain of another cloud", async () => {
    answer = (_request, response) => void response.writeHead(200, { "x-goog-generation": "1" }).end();
    await open({ universeDomain: "example.goog" }).head("a");
    expect(server.requests.at(-1)?.url.href).toBe("https://storage.example.goog/caches/a");
  });

  it("take the credentials of a file, whatever else there is", async () => {
    const folder = await mkdtemp(join(tmpdir(), "gcs-"));
    try {
      const credentialsFile = join(folder, "key.json");
      const content = { type: "service_account", client_email: "file@example.com", private_key: privateKey };
      await writeFile(credentialsFile, JSON.stringify(content));
      const { url } = await open({ credentialsFile }).presign({ method: "GET", name: "a", lifetimeMs: hour });
      expect(new URL(url).searchParams.get("X-Goog-Credential")).toMatch(/^file@example.com\//);
      for (const [broken, said] of [
        ['{ "private_key": precious }', `the credentials file ${credentialsFile} is not valid JSON`],
        [JSON.stringify({ ...content, private_key: "precious" }), "the private key cannot be read; it begins with"],
      ] as const) {
        await writeFile(credentialsFile, broken);
        const error: unknown = await open({ credentialsFile })
          .head("a")
          .catch((reason: unknown) => reason);
        expect(error).toMatchObject({ code: "access-denied", message: expect.stringContaining(said) });
        expect(inspect(error)).not.toContain("precious");
      }
      await writeFile(credentialsFile, JSON.stringify({ type: "unheard_of" }));
      const refused = { code: "access-denied", message: expect.stringContaining("unheard_of") };
      await expect(open({ credentialsFile }).head("a")).rejects.toMatchObject(refused);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it("tell the service's own words in both of its languages", async () => {
    const xml = "<Error><Code>AccessDenied</Code><Message>not yours</Message></Error>";
    answer = (_request, response) => void response.writeHead(403).end(xml);
    const denied = {
      code: "access-denied",
      serviceCode: "AccessDenied",
      message: expect.stringContaining("not yours"),
    };
    await expect(open().get("a")).rejects.toMatchObject(denied);
    const json = JSON.stringify({ error: { message: "not now", errors: [{ reason: "backendError" }] } });
    answer = (_request, response) => void response.writeHead(503).end(json);
    const unavailable = { code: "unavailable", serviceCode: "backendError", retryable: true };
    await expect(open().put("a", bodyOf("x"))).rejects.toMatchObject(unavailable);
    answer = (_request, response) => void response.writeHead(404).end("<Error><Code>NoSuchBucket</Code></Error>");
    await expect(open().get("a")).rejects.toMatchObject({ code: "rejected" });
  });

  it("delete no other generation than the one that is named", async () => {
    answer = (request, response) =>
      void response.writeHead(request.method === "DELETE" ? 412 : 200, { "x-goog-generation": "7" }).end();
    expect(await open().delete("a", { ifVersion: "7" })).toBe(false);
    const deletes = server.requests.filter(({ method }) => method === "DELETE");
    expect(deletes.map(({ url }) => url.search)).toEqual(["?ifGenerationMatch=7"]);
  });

  it("need a bucket, and both or none of identity and key", () => {
    expect(() => open({ bucket: "" })).toThrow(TypeError);
    expect(() => open({ privateKey: "" })).toThrow(TypeError);
  });

  it("are given up when nothing answers them, and made again, for no more than what the service does not have", async () => {
    const silent = new Set(["POST", "PUT"]);
    let have = 0;
    answer = ({ method, headers, url }, response) => {
      const [, last] = /^bytes \d+-(\d+)\//.exec(headers["content-range"] ?? "") ?? [];
      if (last !== undefined) have = Number(last) + 1;
      // The service does what it is told, and its answer never comes.
      if (silent.delete(method)) return undefined;
      if (method === "POST") return void response.writeHead(200, { location: `${url.origin}/session` }).end();
      if (have < 2 * mebibyte) return void response.writeHead(308, { range: `bytes=0-${have - 1}` }).end();
      return void response.writeHead(200).end(JSON.stringify({ generation: "7", updated: "2026-11-21T12:00:00Z" }));
    };
    const store = open({ partBytes: mebibyte, idleTimeoutMs: 1500 });
    expect(await store.put("a", bodyOf(counted(2 * mebibyte)))).toMatchObject({ version: "7" });
    expect(server.requests.map(({ method, headers }) => headers["content-range"] ?? method).slice(1)).toEqual([
      "POST",
      "POST",
      `bytes 0-1048575/2097152`,
      `bytes */2097152`,
      `bytes 1048576-2097151/2097152`,
    ]);
  });

  it("begin the session of an upload again when the service was in trouble", async () => {
    let failures = 2;
    answer = ({ method, url }, response) => {
      if (method === "PUT") {
        const isLast = server.requests.filter((request) => request.method === "PUT").length === 2;
        if (!isLast) return void response.writeHead(308, { range: "bytes=0-1048575" }).end();
        return void response.writeHead(200).end(JSON.stringify({ generation: "7", updated: "2026-11-21T12:00:00Z" }));
      }
      if (url.pathname.startsWith("/upload/") && (failures -= 1) >= 0) return void response.writeHead(503).end();
      return void response.writeHead(200, { location: `${url.origin}/session` }).end();
    };
    const content = counted(2 * mebibyte);
    expect(await open({ partBytes: mebibyte }).put("a", bodyOf(content))).toMatchObject({ version: "7" });
    expect(failures).toBe(-1);
  });

  it("go on with a piece where it was broken off, after asking how much the service has", async () => {
    const content = counted(3 * mebibyte);
    const received = Buffer.alloc(content.byteLength);
    let have = 0;
    let failures = 1;
    answer = ({ method, headers, body, url }, response) => {
      if (method === "POST") return void response.writeHead(200, { location: `${url.origin}/session` }).end();
      const [, start] = /^bytes (\d+)-/.exec(headers["content-range"] ?? "") ?? [];
      if (start !== undefined) {
        const sent = Buffer.from(body, "latin1");
        // Of the second piece the service takes a part, and then it is in trouble.
        const fails = Number(start) === mebibyte && failures > 0;
        const kept = fails ? sent.subarray(0, 500_000) : sent;
        kept.copy(received, Number(start));
        have = Number(start) + kept.byteLength;
        if (fails) {
          failures -= 1;
          return void response.writeHead(503).end();
        }
      }
      if (have === content.byteLength) {
        return void response.writeHead(200).end(JSON.stringify({ generation: "7", updated: "2026-11-21T12:00:00Z" }));
      }
      return void response.writeHead(308, have === 0 ? {} : { range: `bytes=0-${have - 1}` }).end();
    };
    const body = {
      bytes: content.byteLength,
      open: () => new Blob([content]).stream(),
      openRange: (start: number, end: number) => new Blob([content.subarray(start, end)]).stream(),
    };
    expect(await open({ partBytes: mebibyte }).put("a", body)).toMatchObject({ version: "7" });
    expect(Buffer.compare(received, content)).toBe(0);
    expect(server.requests.slice(2).map(({ headers }) => headers["content-range"])).toEqual([
      `bytes 0-1048575/3145728`,
      `bytes 1048576-2097151/3145728`,
      `bytes */3145728`,
      `bytes 1548576-2097151/3145728`,
      `bytes 2097152-3145727/3145728`,
    ]);
  });
});

describe("signatures of the GCS store", () => {
  it.each(["GET", "HEAD", "PUT"] as const)(
    "are good for %s only, by the rules that the service has",
    async (method) => {
      const request = {
        method,
        name: "dir/a b+c%d?é",
        lifetimeMs: hour,
        metadata: method === "PUT" ? { cachekey: "ä" } : {},
      };
      const { url, headers } = await open().presign(request);
      for (const other of ["GET", "HEAD", "PUT"]) expect(isSigned(other, new URL(url), headers)).toBe(other === method);
      expect(new URL(url).searchParams.get("X-Goog-Expires")).toBe("3600");
      expect(decodeURIComponent(new URL(url).pathname)).toBe("/caches/dir/a b+c%d?é");
      expect(server.requests).toEqual([]);
    },
  );

  it("CA G9: limit the length of an object to what may be uploaded", async () => {
    const { url, headers } = await open({ maxUploadedBytes: 10 }).presign({
      method: "PUT",
      name: "a",
      lifetimeMs: hour,
    });
    expect(headers).toMatchObject({
      "x-goog-content-length-range": "0,10",
      "content-type": "application/octet-stream",
    });
    expect(isSigned("PUT", new URL(url), headers)).toBe(true);
    expect(isSigned("PUT", new URL(url), { ...headers, "x-goog-content-length-range": "0,11" })).toBe(false);
  });

  it("let the parts of one upload be sent by somebody else, and put them together", async () => {
    answer = ({ method, url }, response) => {
      if (method === "HEAD") return void response.writeHead(200, { "x-goog-generation": "9" }).end();
      const begun = "<InitiateMultipartUploadResult><UploadId>u/1</UploadId></InitiateMultipartUploadResult>";
      return void response.writeHead(200).end(url.searchParams.has("uploads") ? begun : "");
    };
    const request = { name: "a", bytes: 11 * mebibyte, lifetimeMs: hour, metadata: { cachekey: "k" } };
    const upload = await open({ partBytes: 5 * mebibyte }).presignParts(request);
    expect(upload.parts.map(({ start, end }) => [start, end])).toEqual([
      [0, 5 * mebibyte],
      [5 * mebibyte, 10 * mebibyte],
      [10 * mebibyte, 11 * mebibyte],
    ]);
    for (const [index, { url, headers }] of upload.parts.entries()) {
      const { searchParams } = new URL(url);
      expect([searchParams.get("partNumber"), searchParams.get("uploadId")]).toEqual([String(index + 1), "u/1"]);
      expect(isSigned("PUT", new URL(url), headers)).toBe(true);
    }
    expect(await upload.complete(['"1"', '"2"', '"3"'])).toMatchObject({ version: "9" });
    const [begun, completed] = server.requests.filter(
      ({ method, url }) => method === "POST" && url.pathname === "/caches/a",
    );
    expect(begun?.headers).toMatchObject({ "x-goog-meta-cachekey": "k" });
    expect(completed?.url.search).toBe("?uploadId=u%2F1");
    expect(completed?.body).toContain("<Part><PartNumber>2</PartNumber><ETag>&quot;2&quot;</ETag></Part>");
    await upload.abort();
    expect(server.requests.at(-1)).toMatchObject({ method: "DELETE" });
  });
});

describe("an answer that is not from the service", () => {
  const page = "<!DOCTYPE html><title>Sign in</title><p>Welcome to this network<br>";
  const body = bodyOf(new TextEncoder().encode("content"));

  it.each([
    { operation: "put", run: (store: GcsStore) => store.put("a", body) },
    { operation: "putIf", run: (store: GcsStore) => store.putIf("a", body, { absent: true }) },
    { operation: "get", run: (store: GcsStore) => store.get("a") },
    { operation: "head", run: (store: GcsStore) => store.head("a") },
    { operation: "list", run: (store: GcsStore) => Array.fromAsync(store.list("")) },
  ])("is no success of a $operation, and is told in words for people", async ({ operation, run }) => {
    for (const status of [200, 201]) {
      answer = (_request, response) => void response.writeHead(status, { "content-type": "text/html" }).end(page);
      await expect(run(open())).rejects.toMatchObject({
        name: "CacheStoreError",
        code: "unavailable",
        operation,
        message: expect.stringMatching(/not from the service$/),
      });
    }
  });

  it("does not say whose object is there when the answer to a put was lost", async () => {
    let puts = 0;
    answer = ({ method }, response) => {
      const isLook = method === "HEAD";
      if (!isLook) puts += 1;
      response.writeHead(isLook ? 200 : puts === 1 ? 503 : 412, { "content-type": "text/html" }).end();
    };
    const putting = open({ sleep: async () => {} }).putIf("a", body, { absent: true });
    await expect(putting).rejects.toMatchObject({ code: "unavailable", operation: "putIf" });
  });

  it("that is no HTTP is a missing one", async () => {
    answer = (_request, response) => void response.socket?.end("SSH-2.0-OpenSSH_9.2\r\n");
    const failure = { code: "unavailable", message: expect.stringContaining("no answer: Response does not match") };
    await expect(open().head("a")).rejects.toMatchObject(failure);
  });
});
