import { generateKeyPairSync } from "node:crypto";
import type { ServerResponse } from "node:http";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { bodyOf } from "@fleetfoot/cache-backend/testing";
import { createAzureStore } from "./azure-store.ts";
import type { AzureStore } from "./azure-store.ts";
import type { AzureStoreOptions } from "./options.ts";
import { startRecordingServer } from "@fleetfoot-tooling/systems/recording";
import type { Recorded, RecordingServer } from "@fleetfoot-tooling/systems/recording";

// What leaves this host for services that cannot run on it: every request is recorded by a server on loopback.

const hour = 3_600_000;
const now = Date.parse("2026-11-21T12:00:00Z");
const accountKey = Buffer.from("key of the test").toString("base64");
const credential = { getToken: async () => ({ token: "token-of-the-test", expiresOnTimestamp: now + hour }) };
let server: RecordingServer;
let answer: (request: Recorded, response: ServerResponse) => void;

beforeEach(async () => {
  answer = (request, response) => {
    if (request.url.searchParams.get("comp") === "userdelegationkey") return delegate(response);
    return void response.writeHead(request.method === "PUT" ? 201 : 200, { etag: '"1"' }).end();
  };
  server = await startRecordingServer((request, response) => answer(request, response));
});

afterEach(async () => {
  await server[Symbol.asyncDispose]();
});

function open(options: Partial<AzureStoreOptions> = {}): AzureStore {
  const account = { accountName: "account", containerName: "caches" };
  return createAzureStore({
    ...account,
    dispatcher: server.dispatcher,
    now: () => now,
    sleep: async () => {},
    ...options,
  });
}

describe("requests of the Azure store", () => {
  it("go to the account's host below the domain of the cloud", async () => {
    await open({ accountKey }).head("a/b");
    await open({ accountKey, storageDomain: "blob.core.chinacloudapi.cn" }).head("a/b");
    expect(server.requests.map(({ url }) => url.href)).toEqual([
      "https://account.blob.core.windows.net/caches/a/b",
      "https://account.blob.core.chinacloudapi.cn/caches/a/b",
    ]);
  });

  it("are signed with the account's key, or carry a token of the identity", async () => {
    await open({ accountKey }).head("a");
    await open({ credential }).head("a");
    const [byKey, byToken] = server.requests.map(({ headers }) => headers.authorization);
    expect(byKey).toMatch(/^SharedKey account:/);
    expect(byToken).toBe("Bearer token-of-the-test");
  });

  it("CA H6: name exactly the object, whatever characters its name has", async () => {
    const store = open({ accountKey });
    for (const name of ["a%b", "a#b", "a?b", 'a"b']) {
      await store.head(name);
      const { url } = await store.presign({ method: "GET", name, lifetimeMs: hour });
      for (const sent of [server.requests.at(-1)?.url, new URL(url)]) {
        expect(decodeURIComponent(sent?.pathname ?? "")).toBe(`/caches/${name}`);
        expect(sent?.hash).toBe("");
      }
    }
  });

  it("spell metadata as identifiers with ASCII values", async () => {
    await open({ accountKey }).put("a", bodyOf("x"), { metadata: { cachekey: "ä", "x-y": "", "0a": "b" } });
    expect(server.requests[0]?.headers).toMatchObject({
      "x-ms-meta-cachekey": "=?UTF-8?B?w6Q=?=",
      "x-ms-meta-x_y": "=?UTF-8?B??=",
      "x-ms-meta-_0a": "b",
    });
  });

  it("tell the service's own words, and that a container is missing is no missing object", async () => {
    answer = (_request, response) => void response.writeHead(404, { "x-ms-error-code": "ContainerNotFound" }).end();
    const missing = { code: "rejected", status: 404, serviceCode: "ContainerNotFound" };
    await expect(open({ accountKey }).get("a")).rejects.toMatchObject(missing);
    await expect(open({ accountKey }).head("a")).rejects.toMatchObject(missing);
    answer = (_request, response) => void response.writeHead(403, { "x-ms-error-code": "AuthorizationFailure" }).end();
    await expect(open({ accountKey }).put("a", bodyOf("x"))).rejects.toMatchObject({ code: "access-denied" });
  });

  it("have as long as one try may take where the service puts an upload together, which may take a minute", async () => {
    const limits: Record<string, number | null | undefined> = {};
    const dispatcher = server.dispatcher.compose((dispatch) => (options, handler) => {
      limits[new URL(options.path, "http://host").searchParams.get("comp") ?? ""] = options.headersTimeout;
      return dispatch(options, handler);
    });
    await open({ accountKey, dispatcher, partBytes: 1 }).put("a", bodyOf(new Uint8Array(1_048_577)));
    expect(limits).toEqual({ block: 30_000, blocklist: 600_000 });
    await open({ accountKey, dispatcher, partBytes: 1, idleTimeoutMs: 900_000 }).put(
      "a",
      bodyOf(new Uint8Array(1_048_577)),
    );
    expect(limits).toEqual({ block: 900_000, blocklist: 900_000 });
  });

  it("say that there are no credentials", async () => {
    const error = Object.assign(new Error("nothing\nat all"), { name: "CredentialUnavailableError" });
    const none = { getToken: () => Promise.reject(error) };
    const refused = { code: "access-denied", message: expect.stringContaining("no credentials: nothing") };
    await expect(open({ credential: none }).head("a")).rejects.toMatchObject(refused);
  });

  it("need an account and a container", () => {
    expect(() => open({ accountName: "" })).toThrow(TypeError);
    expect(() => open({ containerName: "" })).toThrow(TypeError);
  });
});

describe("signatures of the Azure store", () => {
  it("CA G10: are made with a key of the user's delegation when there is no account key, for one blob and one direction", async () => {
    const store = open({ credential });
    const read = new URL((await store.presign({ method: "GET", name: "a b", lifetimeMs: hour })).url);
    const write = new URL((await store.presign({ method: "PUT", name: "a b", lifetimeMs: hour / 2 })).url);
    expect(server.requests).toHaveLength(1);
    expect(server.requests[0]).toMatchObject({
      method: "POST",
      headers: { authorization: "Bearer token-of-the-test" },
    });
    expect(Object.fromEntries(read.searchParams)).toMatchObject({
      sp: "r",
      sr: "b",
      spr: "https",
      st: "2026-11-21T11:00:00Z",
      se: "2026-11-21T13:00:00Z",
      skoid: "object",
      sktid: "tenant",
    });
    expect(write.searchParams.get("sp")).toBe("w");
    expect(read.pathname).toBe("/caches/a%20b");
  });

  it("are made with the account's key when there is one, and need no request", async () => {
    const { url } = await open({ accountKey }).presign({ method: "PUT", name: "a", lifetimeMs: hour });
    expect(server.requests).toEqual([]);
    expect(Object.fromEntries(new URL(url).searchParams)).toMatchObject({ sp: "w", sr: "b", spr: "https" });
    expect(url).not.toContain("skoid");
  });
});

function delegate(response: ServerResponse): void {
  const value = generateKeyPairSync("ed25519").publicKey.export({ type: "spki", format: "der" }).toString("base64");
  const times = "<SignedStart>2026-11-21T11:00:00Z</SignedStart><SignedExpiry>2026-11-21T14:00:00Z</SignedExpiry>";
  const key = `<SignedOid>object</SignedOid><SignedTid>tenant</SignedTid>${times}<SignedService>b</SignedService><SignedVersion>2025-01-05</SignedVersion><Value>${value}</Value>`;
  response
    .writeHead(200, { "x-ms-request-id": "1", "content-type": "application/xml" })
    .end(`<?xml version="1.0" encoding="utf-8"?><UserDelegationKey>${key}</UserDelegationKey>`);
}

describe("an answer that is not from the service", () => {
  const page = "<!DOCTYPE html><title>Sign in</title><p>Welcome to this network<br>";
  const body = bodyOf(new TextEncoder().encode("content"));

  it.each([
    { operation: "put", run: (store: AzureStore) => store.put("a", body) },
    { operation: "putIf", run: (store: AzureStore) => store.putIf("a", body, { absent: true }) },
    { operation: "get", run: (store: AzureStore) => store.get("a") },
    { operation: "head", run: (store: AzureStore) => store.head("a") },
    { operation: "list", run: (store: AzureStore) => Array.fromAsync(store.list("")) },
  ])("is no success of a $operation, and is told in words for people", async ({ operation, run }) => {
    for (const status of [200, 201]) {
      answer = (_request, response) => void response.writeHead(status, { "content-type": "text/html" }).end(page);
      await expect(run(open({ accountKey }))).rejects.toMatchObject({
        name: "CacheStoreError",
        code: "unavailable",
        operation,
        message: expect.stringMatching(/not from the service$/),
      });
    }
  });

  it("that is no HTTP is a missing one", async () => {
    answer = (_request, response) => void response.socket?.end("SSH-2.0-OpenSSH_9.2\r\n");
    const failure = { code: "unavailable", message: expect.stringContaining("no answer: Response does not match") };
    await expect(open({ accountKey }).head("a")).rejects.toMatchObject(failure);
  });
});
