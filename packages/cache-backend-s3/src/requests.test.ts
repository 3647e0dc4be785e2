import type { ServerResponse } from "node:http";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { bodyOf } from "@fleetfoot/cache-backend/testing";
import { chooseEndpoint } from "./endpoint.ts";
import type { S3StoreOptions } from "./options.ts";
import { createS3Store } from "./s3-store.ts";
import type { S3Store } from "./s3-store.ts";
import { scopedPolicy } from "./scoped-policy.ts";
import { startRecordingServer } from "@fleetfoot-tooling/systems/recording";
import type { Recorded, RecordingServer } from "@fleetfoot-tooling/systems/recording";

// What leaves this host for services that cannot run on it: every request is recorded by a server on loopback.

const hour = 3_600_000;
const keys = { accessKeyId: "AKIDTEST", secretAccessKey: "secret-of-the-test" };
let server: RecordingServer;
let answer: (request: Recorded, response: ServerResponse) => void;
let now: number;

beforeEach(async () => {
  now = Date.now();
  answer = (request, response) => {
    if (request.body.includes("AssumeRole")) return assumed(response, new Date(now + hour));
    return void response.writeHead(200, { etag: '"1"', date: new Date().toUTCString() }).end();
  };
  server = await startRecordingServer((request, response) => answer(request, response));
  for (const name of Object.keys(process.env).filter((name) => name.startsWith("AWS_"))) vi.stubEnv(name, undefined);
  vi.stubEnv("AWS_ACCESS_KEY_ID", "AKIDCHAIN");
  vi.stubEnv("AWS_SECRET_ACCESS_KEY", "secret-of-the-chain");
  vi.stubEnv("AWS_EC2_METADATA_DISABLED", "true");
});

afterEach(async () => {
  vi.unstubAllEnvs();
  await server[Symbol.asyncDispose]();
});

function open(options: Partial<S3StoreOptions> = {}): S3Store {
  const { dispatcher } = server;
  const sleep = async (): Promise<void> => {};
  return createS3Store({ bucket: "bucket", region: "eu-central-1", dispatcher, now: () => now, sleep, ...options });
}

describe("a delete of one version", () => {
  const statusOfDelete = (status: number): void => {
    answer = (request, response) =>
      void response
        .writeHead(request.method === "DELETE" && request.headers["if-match"] !== undefined ? status : 200, {
          etag: '"1"',
        })
        .end();
  };
  const deletes = (): unknown[] =>
    server.requests.filter(({ method }) => method === "DELETE").map(({ headers }) => headers["if-match"]);

  it("holds the service to that version, which may change after it was looked at", async () => {
    statusOfDelete(412);
    expect(await open().delete("a", { ifVersion: '"1"' })).toBe(false);
    expect(deletes()).toEqual(['"1"']);
  });

  it("relies on what was found right before where the service does not know the condition", async () => {
    statusOfDelete(501);
    expect(await open().delete("a", { ifVersion: '"1"' })).toBe(true);
    expect(deletes()).toEqual(['"1"', undefined]);
  });

  it("asks for nothing when another version is found", async () => {
    statusOfDelete(204);
    expect(await open().delete("a", { ifVersion: '"0"' })).toBe(false);
    expect(await open().delete("a")).toBe(true);
    expect(deletes()).toEqual([undefined]);
  });
});

describe("an upload in parts", () => {
  it("has as long as one try may take where the service puts it together, which may take minutes, and no longer", async () => {
    answer = ({ method, url }, response) => {
      const result = url.searchParams.has("uploads") ? "InitiateMultipartUpload" : "CompleteMultipartUpload";
      const text = `<${result}Result><UploadId>1</UploadId><ETag>"1"</ETag></${result}Result>`;
      response.writeHead(200, { etag: '"1"', date: new Date().toUTCString() }).end(method === "POST" ? text : "");
    };
    const limits: (number | null | undefined)[] = [];
    const dispatcher = server.dispatcher.compose((dispatch) => (options, handler) => {
      limits.push(options.headersTimeout);
      return dispatch(options, handler);
    });
    const part = 5 * 1024 * 1024;
    await open({ ...keys, dispatcher, partBytes: part }).put("a", bodyOf(new Uint8Array(part + 1)));
    expect(limits).toEqual([30_000, 30_000, 30_000, 600_000]);
  });
});

describe("where requests go", () => {
  it.each([
    {
      row: "CA G2",
      serverAddress: "minio.example.com:9000",
      insecure: true,
      url: "http://minio.example.com:9000/bucket/a/b",
    },
    { row: "CA G3", serverAddress: "s3.us-east-2.amazonaws.com", url: "https://bucket.s3.us-east-2.amazonaws.com/a/b" },
    {
      row: "CA G4",
      bucket: "a.b",
      serverAddress: "s3.us-east-2.amazonaws.com",
      url: "https://s3.us-east-2.amazonaws.com/a.b/a/b",
    },
    { row: "CA G4", bucket: "a.b", dualStack: false, url: "https://s3.eu-central-1.amazonaws.com/a.b/a/b" },
    { row: "Amazon", url: "https://bucket.s3.dualstack.eu-central-1.amazonaws.com/a/b" },
    {
      row: "Amazon by name",
      serverAddress: "s3.amazonaws.com",
      url: "https://bucket.s3.dualstack.eu-central-1.amazonaws.com/a/b",
    },
    { row: "without dual stack", dualStack: false, url: "https://bucket.s3.eu-central-1.amazonaws.com/a/b" },
    { row: "accelerated", accelerate: true, dualStack: false, url: "https://bucket.s3-accelerate.amazonaws.com/a/b" },
    {
      row: "not accelerated elsewhere",
      serverAddress: "ceph.example.com",
      accelerate: true,
      url: "https://ceph.example.com/bucket/a/b",
    },
    {
      row: "by wish in the path",
      pathStyle: true,
      dualStack: false,
      url: "https://s3.eu-central-1.amazonaws.com/bucket/a/b",
    },
    {
      row: "by wish in the host",
      serverAddress: "ceph.example.com:443",
      pathStyle: false,
      url: "https://bucket.ceph.example.com/a/b",
    },
    {
      row: "in China",
      region: "cn-north-1",
      dualStack: false,
      url: "https://bucket.s3.cn-north-1.amazonaws.com.cn/a/b",
    },
  ])("$row: $url", async ({ url, ...options }) => {
    await open(options).head("a/b");
    expect(server.requests.map((request) => request.url.href)).toEqual([url]);
  });

  it.each([
    ["http://minio:9000", 'write "minio:9000" and set insecure to true'],
    ["HTTPS://minio.example.com/caches", 'write "minio.example.com"'],
    ["https://user:secret@minio:9000?x=secret", 'write "minio:9000"'],
    ["https://user:sec/ret@minio:9000", "write its host alone"],
    ["http://user:sec#r@et@minio:9000/caches", "write its host alone and set insecure to true"],
    ["https://minio:9000/?x=sec@ret", "write its host alone"],
  ])("refuses the URL %s as serverAddress, and says what to do", (serverAddress, cure) => {
    const reason = `serverAddress is a host with or without a port, not a URL: ${cure}`;
    expect(() => open({ serverAddress })).toThrow(new TypeError(reason));
  });

  it.each([
    ["user:secret@minio:9000", 'write "minio:9000"'],
    ["user:sec/ret@minio:9000", "write its host alone"],
  ])("refuses the credentials in the serverAddress %s, and does not repeat them", (serverAddress, cure) => {
    const reason = `serverAddress is a host with or without a port, and has no user and no password: ${cure}`;
    expect(() => open({ serverAddress })).toThrow(new TypeError(reason));
  });

  it.each([
    ["s3-us-west-2.amazonaws.com", false],
    ["s3-fips.us-gov-west-1.amazonaws.com", false],
    ["s3.cn-north-1.amazonaws.com.cn", false],
    ["storage.googleapis.com", false],
    ["oss-cn-hangzhou.aliyuncs.com", false],
    ["bucket.s3.us-east-2.amazonaws.com", true],
    ["fra1.digitaloceanspaces.com", true],
    ["localhost:9005", true],
  ])("puts the bucket of %s into the path: %s", (serverAddress, pathStyle) => {
    const settings = { bucket: "bucket", serverAddress, insecure: false, pathStyle: undefined };
    expect(chooseEndpoint(settings).pathStyle).toBe(pathStyle);
    expect(chooseEndpoint({ ...settings, bucket: "a.b" }).pathStyle).toBe(true);
  });

  it.each([
    {
      answered:
        "<LocationConstraint xmlns='http://s3.amazonaws.com/doc/2006-03-01/'>ap-southeast-2</LocationConstraint>",
      region: "ap-southeast-2",
      warnings: 0,
    },
    {
      answered: "<LocationConstraint xmlns='http://s3.amazonaws.com/doc/2006-03-01/'>EU</LocationConstraint>",
      region: "eu-west-1",
      warnings: 0,
    },
    { answered: "<LocationConstraint/>", region: "us-east-1", warnings: 0 },
    { answered: undefined, region: "us-east-1", warnings: 1 },
  ])("asks for the region of a bucket once: $answered is $region", async ({ answered, region, warnings }) => {
    const told: string[] = [];
    answer = (request, response) => {
      if (!request.url.searchParams.has("location")) response.writeHead(200, { etag: '"1"' }).end();
      else if (answered === undefined) response.writeHead(403).end();
      else response.writeHead(200).end(`<?xml version="1.0"?>${answered}`);
    };
    const store = open({ region: "", onWarning: (text) => told.push(text) });
    await store.head("a");
    await store.head("b");
    expect(server.requests.filter(({ url }) => url.searchParams.has("location"))).toHaveLength(1);
    expect(server.requests.at(-1)?.url.hostname).toBe(`bucket.s3.dualstack.${region}.amazonaws.com`);
    expect(server.requests.at(-1)?.headers.authorization).toContain(`/${region}/s3/`);
    expect(told).toHaveLength(warnings);
  });

  it("does not hold anybody back who no longer wants to wait for the region", async () => {
    const stop = new AbortController();
    const asked = Promise.withResolvers<ServerResponse>();
    answer = (_request, response) => asked.resolve(response);
    const putting = open({ region: "" }).put("a", bodyOf("x"), { signal: stop.signal });
    putting.catch(() => {});
    const response = await asked.promise;
    stop.abort(new Error("the job's time is up"));
    await expect(putting).rejects.toBe(stop.signal.reason);
    response.writeHead(403).end();
  });

  it("asks for the region again some time after it could not be found", async () => {
    let isDenied = true;
    answer = (request, response) => {
      if (!request.url.searchParams.has("location")) response.writeHead(200, { etag: '"1"' }).end();
      else if (isDenied) response.writeHead(403).end();
      else
        response
          .writeHead(200)
          .end(`<LocationConstraint xmlns='http://s3.amazonaws.com/doc/2006-03-01/'>eu-west-3</LocationConstraint>`);
    };
    const store = open({ region: "" });
    await store.head("a");
    isDenied = false;
    now += hour;
    await store.head("a");
    await store.head("a");
    expect(server.requests.map(({ url }) => url.hostname.split(".dualstack.").at(-1))).toEqual([
      "us-east-1.amazonaws.com",
      "us-east-1.amazonaws.com",
      "us-east-1.amazonaws.com",
      "eu-west-3.amazonaws.com",
      "eu-west-3.amazonaws.com",
    ]);
  });
});

describe("checksums of the SDK", () => {
  const elsewhere = { serverAddress: "ceph.example.com", ...keys };
  it.each([
    { where: "Amazon", options: {}, sent: true, asked: true },
    { where: "another service", options: elsewhere, sent: false, asked: false },
    {
      where: "one of which more is known",
      options: { ...elsewhere, checksums: "when-supported" },
      sent: true,
      asked: false,
    },
    {
      where: "one that tells its own",
      options: { ...elsewhere, responseChecksums: "when-supported" },
      sent: false,
      asked: true,
    },
  ] as const)("of $where are sent: $sent, and asked for: $asked", async ({ options, sent, asked }) => {
    const store = open(options);
    await store.put("a", bodyOf("text"));
    await (await store.get("a"))?.body.cancel();
    const [put, get] = server.requests;
    expect([
      Object.keys(put?.headers ?? {}).some((name) => /^x-amz-(checksum-crc32|trailer)$/.test(name)),
      get?.headers["x-amz-checksum-mode"] !== undefined,
    ]).toEqual([sent, asked]);
  });
});

describe("whose rights requests have", () => {
  const signer = (): string | undefined =>
    /Credential=(\w+)\//.exec(server.requests[0]?.headers.authorization ?? "")?.[1];

  it("CA G1: takes the chain of the SDK when keys are given without a server address", async () => {
    await open(keys).head("a");
    expect(signer()).toBe("AKIDCHAIN");
  });

  it.each([
    { authentication: "access-key", expected: "AKIDTEST" },
    { authentication: "iam", expected: "AKIDCHAIN" },
    { authentication: undefined, serverAddress: "minio.example.com", expected: "AKIDTEST" },
    { authentication: "iam", serverAddress: "minio.example.com", expected: "AKIDCHAIN" },
  ] as const)("CA G12: signs as $expected with authentication $authentication", async ({ expected, ...options }) => {
    await open({ ...keys, ...options }).head("a");
    expect(signer()).toBe(expected);
  });

  it("sends the session token that belongs to the keys", async () => {
    await open({ ...keys, sessionToken: "token", authentication: "access-key" }).head("a");
    expect(server.requests[0]?.headers["x-amz-security-token"]).toBe("token");
  });

  it("refuses authentication by keys that are not there", () => {
    expect(() => open({ authentication: "access-key", accessKeyId: "AKIDTEST" })).toThrow(TypeError);
    expect(() => open({ bucket: "" })).toThrow(TypeError);
  });

  it("says that there are no credentials, without naming any", async () => {
    vi.stubEnv("AWS_ACCESS_KEY_ID", undefined);
    vi.stubEnv("HOME", "/nowhere");
    const refused = { code: "access-denied", retryable: false, message: expect.stringContaining("no credentials") };
    await expect(open(keys).head("a")).rejects.toMatchObject(refused);
    await expect(open(keys).head("a")).rejects.not.toMatchObject({ message: expect.stringContaining("AKIDTEST") });
  });
});

describe("what requests say", () => {
  it("CA G5: signs the kind of encryption and its key", async () => {
    const store = open({ serverSideEncryption: "aws:kms:dsse", serverSideEncryptionKeyId: "alias/cache" });
    await store.put("a", bodyOf("x"));
    const { headers, url, headers: sent } = await store.presign({ method: "PUT", name: "a", lifetimeMs: hour });
    const wanted = {
      "x-amz-server-side-encryption": "aws:kms:dsse",
      "x-amz-server-side-encryption-aws-kms-key-id": "alias/cache",
    };
    expect(server.requests[0]?.headers).toMatchObject(wanted);
    expect(headers).toMatchObject(wanted);
    for (const name of Object.keys(wanted)) {
      expect(server.requests[0]?.headers.authorization).toContain(name);
      expect(new URL(url).searchParams.get("X-Amz-SignedHeaders")).toContain(name);
    }
    expect(Object.keys(sent)).toHaveLength(3);
  });

  it("sends no key with the encryption that has none", async () => {
    await open({ serverSideEncryption: "AES256", serverSideEncryptionKeyId: "ignored" }).put("a", bodyOf("x"));
    expect(server.requests[0]?.headers["x-amz-server-side-encryption"]).toBe("AES256");
    expect(server.requests[0]?.headers).not.toHaveProperty("x-amz-server-side-encryption-aws-kms-key-id");
  });

  it("CA G11: presigns a PUT without the checksum of a body that nobody knows yet", async () => {
    const { url } = await open().presign({ method: "PUT", name: "a", lifetimeMs: hour });
    expect([...new URL(url).searchParams.keys()].filter((name) => name.includes("checksum"))).toEqual([]);
  });

  it("signs the metadata of a PUT, and lets no URL live longer than a week", async () => {
    const request = { method: "PUT", name: "a", lifetimeMs: 30 * 24 * hour, metadata: { cachekey: "k" } } as const;
    const { url, headers } = await open().presign(request);
    const { searchParams } = new URL(url);
    expect(headers).toMatchObject({ "x-amz-meta-cachekey": "k" });
    expect(searchParams.get("X-Amz-SignedHeaders")).toContain("x-amz-meta-cachekey");
    expect(searchParams.get("X-Amz-Expires")).toBe("604800");
  });

  it.each([301, 307])("tells where a bucket is, when the service answers a HEAD with status %i", async (status) => {
    answer = (_request, response) => void response.writeHead(status, { "x-amz-bucket-region": "eu-west-3" }).end();
    const said = `status ${status} without a reason; the bucket is in the region eu-west-3: set that one, or none`;
    await expect(open().head("a")).rejects.toMatchObject({ status, message: `s3 head "a": ${said}` });
  });

  it("tells a failure with the service's own words, and tries a part again when it may help", async () => {
    const statuses = [503, 500, 200];
    answer = (_request, response) => {
      const status = statuses.shift() ?? 403;
      const text = "<Error><Code>AccessDenied</Code><Message>not yours</Message></Error>";
      response.writeHead(status, { etag: '"1"' }).end(status === 200 ? "" : text);
    };
    expect(await open().put("a", bodyOf("x"))).toMatchObject({ version: '"1"' });
    expect(server.requests).toHaveLength(3);
    const denied = { code: "access-denied", status: 403, serviceCode: "AccessDenied", retryable: false };
    await expect(open().put("a", bodyOf("x"))).rejects.toMatchObject(denied);
    expect(server.requests).toHaveLength(4);
  });
});

describe("credentials of a role", () => {
  const roleArn = "arn:aws:iam::1:role/cache";
  const policies = (): { Statement: { Action: string[]; Resource: string[] }[] }[] =>
    server.requests
      .filter(({ body }) => body.includes("AssumeRole"))
      .map(({ body }) => JSON.parse(new URLSearchParams(body).get("Policy") ?? ""));

  it("CA G7: may do one thing with one object, in the partition of the region", async () => {
    await open({ roleArn, region: "us-gov-west-1" }).put("project/1/k", bodyOf("x"));
    expect(policies()).toEqual([
      {
        Version: "2012-10-17",
        Statement: [
          { Effect: "Allow", Action: ["s3:PutObject"], Resource: ["arn:aws-us-gov:s3:::bucket/project/1/k"] },
        ],
      },
    ]);
    const { url, headers, body } = server.requests[0] ?? { body: "" };
    expect(url?.hostname).toBe("sts.us-gov-west-1.amazonaws.com");
    expect(headers?.authorization).toContain("Credential=AKIDCHAIN");
    expect(new URLSearchParams(body).get("RoleSessionName")).toMatch(/^gitlab-runner-cache-upload-[0-9a-f]{8}$/);
    expect(new URLSearchParams(body).get("DurationSeconds")).toBe("3600");
    expect(server.requests[1]?.headers).toMatchObject({
      authorization: expect.stringContaining("Credential=ASIASCOPED"),
      "x-amz-security-token": "scoped",
    });
  });

  it("CA G8: get a policy that is JSON whatever the name has in it, and that means that name only", () => {
    const settings = { bucket: "bucket", direction: "download", region: "cn-north-1" } as const;
    const encryption = { serverSideEncryption: "aws:kms", serverSideEncryptionKeyId: "arn:key" } as const;
    const { Statement } = JSON.parse(scopedPolicy({ ...settings, ...encryption, name: 'a"b*c?d$e' })) as {
      Statement: object[];
    };
    expect(Statement).toEqual([
      { Effect: "Allow", Action: ["s3:GetObject"], Resource: ['arn:aws-cn:s3:::bucket/a"b${*}c${?}d${$}e'] },
      { Effect: "Allow", Action: ["kms:Decrypt", "kms:GenerateDataKey"], Resource: ["arn:key"] },
    ]);
  });

  it("are used again for the same object and direction while they last, and not otherwise", async () => {
    const store = open({ roleArn, transferTimeoutMs: hour / 4 });
    await store.head("a");
    await store.head("a");
    expect(policies()).toHaveLength(1);
    await store.head("b");
    await store.put("a", bodyOf("x"));
    expect(policies()).toHaveLength(3);
    now += (hour * 3) / 4 + 1;
    await store.head("a");
    expect(policies()).toHaveLength(4);
  });

  it("last for as long as the operation may take", async () => {
    const store = open({ roleArn, transferTimeoutMs: hour / 4 });
    await store.head("a", { timeLimitMs: hour / 2 });
    now += hour / 2;
    await store.head("a", { timeLimitMs: hour / 2 });
    expect(policies()).toHaveLength(1);
    await store.head("a", { timeLimitMs: hour / 2 + 1 });
    expect(policies()).toHaveLength(2);
    // Of credentials for an hour nothing can ask for more.
    now += 5 * 60_000;
    await store.head("a", { timeLimitMs: 3 * hour });
    expect(policies()).toHaveLength(2);
  });

  it("are asked for each time when they are not to be kept", async () => {
    const store = open({ roleArn, disableAssumeRoleCredentialsCaching: true });
    await store.head("a");
    await store.head("a");
    expect(policies()).toHaveLength(2);
  });

  it("are asked for a few at a time", async () => {
    const held: (() => void)[] = [];
    const usual = answer;
    answer = (request, response) => {
      if (!request.body.includes("AssumeRole")) return usual(request, response);
      return void held.push(() => usual(request, response));
    };
    const store = open({ roleArn, assumeRoleMaxConcurrency: 2 });
    const heads = Promise.all(["a", "b", "c", "d", "e"].map((name) => store.head(name)));
    for (const answered of [0, 1, 2, 3, 4]) {
      await expect.poll(() => held.length).toBe(Math.min(5, answered + 2));
      held[answered]?.();
    }
    await heads;
    expect(policies()).toHaveLength(5);
  });

  it("are for uploads only when only those have a role", async () => {
    const store = open({ uploadRoleArn: roleArn });
    await store.head("a");
    expect(policies()).toEqual([]);
    expect(await store.issueCredentials("a", "upload")).toMatchObject({ sessionToken: "scoped" });
    await expect(store.issueCredentials("a", "download")).rejects.toMatchObject({ code: "rejected" });
  });
});

function assumed(response: ServerResponse, expiration: Date): void {
  const credentials = `<AccessKeyId>ASIASCOPED</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>scoped</SessionToken><Expiration>${expiration.toISOString()}</Expiration>`;
  response
    .writeHead(200, { "content-type": "text/xml" })
    .end(
      `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>${credentials}</Credentials></AssumeRoleResult></AssumeRoleResponse>`,
    );
}

describe("an answer that is not from the service", () => {
  const page = "<!DOCTYPE html><title>Sign in</title><p>Welcome to this network<br>";
  const body = bodyOf(new TextEncoder().encode("content"));

  it.each([
    { operation: "put", run: (store: S3Store) => store.put("a", body) },
    { operation: "putIf", run: (store: S3Store) => store.putIf("a", body, { absent: true }) },
    { operation: "get", run: (store: S3Store) => store.get("a") },
    { operation: "head", run: (store: S3Store) => store.head("a") },
    { operation: "list", run: (store: S3Store) => Array.fromAsync(store.list("")) },
  ])("is no success of a $operation, and is told in words for people", async ({ operation, run }) => {
    for (const status of [200, 201]) {
      answer = (_request, response) => void response.writeHead(status, { "content-type": "text/html" }).end(page);
      await expect(run(open(keys))).rejects.toMatchObject({
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
    const putting = open({ ...keys, sleep: async () => {} }).putIf("a", body, { absent: true });
    await expect(putting).rejects.toMatchObject({ code: "unavailable", operation: "putIf" });
  });

  it("that is no HTTP is a missing one", async () => {
    answer = (_request, response) => void response.socket?.end("SSH-2.0-OpenSSH_9.2\r\n");
    const failure = { code: "unavailable", message: expect.stringContaining("no answer: Response does not match") };
    await expect(open(keys).head("a")).rejects.toMatchObject(failure);
  });
});
