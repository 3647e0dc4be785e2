import { once } from "node:events";
import { createServer, request as sendRequest } from "node:http";
import type { Server } from "node:http";
import { connect as connectTcp } from "node:net";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { connect as connectTls } from "node:tls";
import type { TLSSocket } from "node:tls";
import { makeCertificateFolder, startTlsFront } from "@fleetfoot-tooling/systems";
import type { Authority, CertificateFolder, TlsFront } from "@fleetfoot-tooling/systems";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import { Agent, buildConnector } from "undici";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import type { MirrorOptions, UpstreamOptions } from "../options.ts";
import { Secret } from "../secret.ts";
import { contentOf, pushImage, randomContent } from "../testing/images.ts";
import type { PushedImage } from "../testing/images.ts";
import { createManualClock } from "../testing/manual-clock.ts";
import { serveConnect } from "../testing/serve-connect.ts";
import type { ServedProxy } from "../testing/serve-connect.ts";
import { startTap } from "../testing/tap.ts";
import type { Fault, Tap, TappedRequest } from "../testing/tap.ts";
import type { ConnectOptions } from "./index.ts";
import { hashProxyPassword } from "./index.ts";

const dayMs = 24 * 60 * 60_000;

describeWithSystem("docker-registry", (registry) => {
  let certificates: CertificateFolder;
  let authority: Authority;
  let tap: Tap;
  let front: TlsFront;
  let image: PushedImage;
  let proxy: ServedProxy;

  beforeAll(async () => {
    certificates = await makeCertificateFolder();
    authority = await certificates.makeAuthority("upstream");
  });

  afterAll(() => certificates[Symbol.asyncDispose]());

  beforeEach(async () => {
    tap = await startTap(registry().endpoint);
    front = await startTlsFront(() => tap.url, await authority.issue());
    image = await pushImage(registry().endpoint, "org/app", "v1", { layers: [randomContent(200_000)] });
    proxy = await start();
  });

  afterEach(async () => {
    await proxy[Symbol.asyncDispose]();
    await front[Symbol.asyncDispose]();
    await tap[Symbol.asyncDispose]();
  });

  function start(
    options: Partial<ConnectOptions> = {},
    mirror: Partial<MirrorOptions> = {},
    upstream: Partial<UpstreamOptions> = {},
  ): Promise<ServedProxy> {
    const quay = { url: `https://127.0.0.1:${front.port}`, hosts: ["quay.io"], ca: authority.certificate, ...upstream };
    return serveConnect({
      policy: { hosts: ["quay.io"] },
      ...options,
      mirror: { upstreams: { quay }, ...mirror },
    });
  }

  async function restart(...options: Parameters<typeof start>): Promise<void> {
    await proxy[Symbol.asyncDispose]();
    proxy = await start(...options);
  }

  const blobPath = (): string => `/v2/org/app/blobs/${image.layers[0]?.digest}`;

  it("serves a registry's images from the cache to clients that believe to talk to it", async () => {
    for (let round = 0; round < 2; round += 1) {
      expect(await proxy.send("quay.io", "/v2/")).toMatchObject({ status: 200 });
      expect((await proxy.send("quay.io", "/v2/org/app/manifests/v1")).body).toEqual(image.manifest.bytes);
      expect((await proxy.send("quay.io", blobPath())).body).toEqual(image.layers[0]?.bytes);
    }
    expect(tap.take()).toEqual(["GET /v2/org/app/manifests/v1", `GET ${blobPath()}`]);
    expect((await proxy.send("quay.io", "/v2/_catalog")).body.toString()).toBe('{"repositories":["org/app"]}');
  });

  it("RM K10: makes one certificate per host, however many come at once, and a new one after sixty days", async () => {
    const clock = createManualClock(Date.now());
    const hosts = ["quay.io", "ghcr.io", "registry-1.docker.io"];
    await restart({ clock, policy: { hosts } }, {}, { hosts: ["quay.io", "ghcr.io", "docker.io"] });
    const pull = async (index: number): Promise<string> => {
      const inside = await proxy.secure(`${hosts[index % 3]}:443`);
      const { serialNumber } = inside.getPeerCertificate();
      inside.destroy();
      return serialNumber;
    };
    const serials = new Set(await Promise.all(Array.from({ length: 50 }, (_, index) => pull(index))));
    for (let index = 0; index < 20; index += 1) serials.add(await pull(index));
    expect([serials.size, proxy.metric("certificates_issued_total")]).toEqual([3, 3]);
    expect((await proxy.connect("example.org:443")).status).toBe(403);
    await clock.advance(61 * dayMs);
    // For the clock of this machine it is not valid yet.
    const later = await proxy.secure("quay.io:443", { rejectUnauthorized: false });
    expect(serials.has(later.getPeerCertificate().serialNumber)).toBe(false);
    later.destroy();
    expect(proxy.metric("certificates_issued_total")).toBe(4);
  });

  it("RM K11: has a certificate for an address, which clients ask for without a name", async () => {
    await restart({ policy: { hosts: ["198.51.100.7"] } }, {}, { hosts: ["198.51.100.7"] });
    const inside = await proxy.secure("198.51.100.7:443", { servername: "" });
    expect(inside.authorized).toBe(true);
    expect(inside.getPeerCertificate().subjectaltname).toBe("IP Address:198.51.100.7");
    inside.destroy();
    const { socket } = await proxy.connect("198.51.100.7:443");
    const wrong = connectTls({ socket, ca: proxy.ca.certificate, servername: "quay.io" });
    expect(await failureOf(wrong)).toMatch(/unrecognized.name/);
  });

  it("RM K12: refuses a name inside that is not the one outside, without a question to the upstream", async () => {
    const { socket } = await proxy.connect("quay.io:443");
    const inside = connectTls({ socket, ca: proxy.ca.certificate, servername: "ghcr.io" });
    expect(await failureOf(inside)).toMatch(/unrecognized.name/);
    for (const host of ["ghcr.io", "quay.io:8443", "", "quay.io.evil.example"]) {
      const { code, status } = await proxy.send("quay.io", "/v2/org/app/manifests/v1", { headers: { host } });
      expect([status, code]).toEqual([421, "DENIED"]);
    }
    for (const host of ["quay.io:443", "QUAY.IO", "quay.io."]) {
      expect((await proxy.send("quay.io", "/v2/", { headers: { host } })).status).toBe(200);
    }
    expect(tap.requests).toEqual([]);
  });

  it("RM K13: speaks HTTP/1.1 to whoever offers it or offers nothing, and refuses those who want HTTP/2 only", async () => {
    const protocolOf = async (ALPNProtocols?: string[]): Promise<string | false | null> => {
      const inside = await proxy.secure("quay.io:443", ALPNProtocols === undefined ? {} : { ALPNProtocols });
      inside.destroy();
      return inside.alpnProtocol;
    };
    expect(await protocolOf(["h2", "http/1.1"])).toBe("http/1.1");
    expect(await protocolOf()).toBe(false);
    const { socket } = await proxy.connect("quay.io:443");
    const inside = connectTls({ socket, ca: proxy.ca.certificate, servername: "quay.io", ALPNProtocols: ["h2"] });
    expect(await failureOf(inside)).toMatch(/no.application.protocol/);
  });

  it("resumes TLS sessions, and keeps connections for further requests", async () => {
    const first = await proxy.secure("quay.io:443", { maxVersion: "TLSv1.2" });
    const session = first.getSession();
    expect(await exchange(first)).toMatch(/^HTTP\/1\.1 200/);
    expect(await exchange(first)).toMatch(/^HTTP\/1\.1 200/);
    first.destroy();
    const again = await proxy.secure("quay.io:443", {
      maxVersion: "TLSv1.2",
      ...(session === undefined ? {} : { session }),
    });
    expect(again.isSessionReused()).toBe(true);
    again.destroy();
  });

  it("opens no tunnel through an intercepted connection", async () => {
    const inside = await proxy.secure("quay.io:443");
    inside.write("CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n");
    const [answer] = (await once(inside, "data")) as [Buffer];
    expect(answer.toString()).toMatch(/^HTTP\/1\.1 405 /);
    inside.destroy();
  });

  it("RM K14: follows a redirect to a storage host by itself, without the login, and tells nobody of the signed URL", async () => {
    const seen: TappedRequest[] = [];
    const storage = createServer((request, response) => {
      seen.push({ method: request.method ?? "", target: request.url ?? "", headers: request.headers });
      response.end(image.layers[0]?.bytes);
    }).listen(0, "127.0.0.1");
    await once(storage, "listening");
    const storageUrl = `http://127.0.0.1:${(storage.address() as AddressInfo).port}`;
    await using cdn = await startTlsFront(() => storageUrl, await authority.issue("DNS:localhost"));
    const credentials = { username: "robot", password: new Secret("hunter2") };
    await restart({}, {}, { credentials, access: "shared", sharedNames: [""] });
    tap.fault = ({ headers, target }) => {
      if (headers.authorization === undefined) {
        return { kind: "answer", status: 401, headers: { "www-authenticate": 'Basic realm="quay"' } };
      }
      const location = `https://localhost:${cdn.port}/blob?X-Signature=abcdef123`;
      return target.includes("/blobs/") ? { kind: "answer", status: 307, headers: { location } } : undefined;
    };
    const answer = await proxy.send("quay.io", blobPath());
    expect([answer.status, answer.headers["location"]]).toEqual([200, undefined]);
    expect(answer.body).toEqual(image.layers[0]?.bytes);
    expect(seen.map(({ headers, target }) => [target, headers.authorization])).toEqual([
      ["/blob?X-Signature=abcdef123", undefined],
    ]);
    expect(proxy.metric("connects_total")).toBe(1);
    expect(proxy.log.join()).not.toMatch(/abcdef123|hunter2/);
    storage.close();
  });

  it("RM K15: follows no redirect further inside than where the registry itself lies", async () => {
    const reached: string[] = [];
    const connectSystem = buildConnector({});
    const tapPort = new URL(tap.url).port;
    // Every address leads to the tap; which one it was is written down.
    const dispatcher = new Agent({
      connect: (target, callback) => {
        reached.push(target.hostname);
        connectSystem(
          { ...target, hostname: "127.0.0.1", host: "127.0.0.1", port: tapPort, protocol: "http:" },
          callback,
        );
      },
    });
    let location = "";
    tap.fault = ({ target }) =>
      target.includes("/blobs/") && location !== ""
        ? { kind: "answer", status: 307, headers: { location } }
        : undefined;
    for (const [url, to, status, mirrorStatus] of [
      ["http://198.51.100.7", "http://169.254.169.254/latest", 502, 404],
      ["http://198.51.100.7", "https://10.1.2.3/blob", 502, 404],
      ["http://198.51.100.7", "http://[::ffff:10.1.2.3]/blob", 502, 404],
      ["http://10.1.2.4", "http://127.0.0.1/blob", 502, 404],
      ["http://10.1.2.4", "http://169.254.169.254/latest", 502, 404],
    ] as const) {
      await restart({}, { dispatcher }, { url });
      location = to;
      reached.length = 0;
      expect((await proxy.send("quay.io", blobPath())).status, to).toBe(status);
      const signal = new AbortController().signal;
      const target = `/v2/org/app/blobs/${image.config.digest}?ns=quay.io`;
      expect((await proxy.mirror.answer({ method: "GET", target, headers: {}, signal })).status).toBe(mirrorStatus);
      expect(reached.filter((address) => address !== new URL(url).hostname)).toEqual([]);
      expect(proxy.metric("upstream_requests_total", { status: "0" })).toBeGreaterThan(0);
    }
    await restart({}, { dispatcher }, { url: "http://10.1.2.4" });
    tap.fault = ({ headers, target }) => {
      if (!target.includes("/blobs/") || headers.host === "10.1.2.3") return undefined;
      return { kind: "answer", status: 307, headers: { location: `http://10.1.2.3${blobPath()}` } };
    };
    expect((await proxy.send("quay.io", blobPath())).body).toEqual(image.layers[0]?.bytes);
    expect(reached).toContain("10.1.2.3");
    await dispatcher.destroy();
  });

  it("RM K16: uses its own login for the configured names, whatever login a client has", async () => {
    const tokens = await startTokenServer(({ authorization }) =>
      authorization === basicOf("robot", "hunter2") ? "robots-token" : "nobodys-token",
    );
    demandToken(tokens.realm, (token) => token === "robots-token");
    const credentials = { username: "robot", password: new Secret("hunter2") };
    const realmHosts = ["localhost"];
    await restart({}, {}, { credentials, access: "shared", sharedNames: ["^org/"], realmHosts });
    expect((await proxy.send("quay.io", "/v2/")).status).toBe(200);
    const headers = { authorization: basicOf("alice", "her-own-password") };
    expect((await proxy.send("quay.io", "/v2/", { headers })).status).toBe(200);
    expect((await proxy.send("quay.io", "/v2/org/app/manifests/v1", { headers })).status).toBe(200);
    expect((await proxy.send("quay.io", blobPath())).status).toBe(200);
    expect(tokens.requests.map(({ authorization }) => authorization)).toEqual([basicOf("robot", "hunter2")]);
    expect(
      tap.requests.map(({ headers: sent }) => sent.authorization).filter((sent) => sent?.startsWith("Basic")),
    ).toEqual([]);
    expect((await proxy.send("quay.io", "/v2/other/app/manifests/v1", { headers })).status).toBe(403);
    expect(proxy.log.join()).not.toMatch(/hunter2|her-own|robots-token/);
    await tokens.close();
  });

  it("RM K17: gives cached content to those only whom the registry lets in, and passes their passwords by", async () => {
    const tokens = await startTokenServer(({ authorization }) =>
      authorization === basicOf("alice", "right") ? "alices-token" : "nobodys-token",
    );
    demandToken(tokens.realm, (token) => token === "alices-token");
    await restart({}, {}, { access: "pass-through", realmHosts: ["localhost"] });
    const ping = await proxy.send("quay.io", "/v2/");
    expect([ping.status, ping.headers["www-authenticate"]]).toEqual([
      401,
      `Bearer realm="${tokens.realm}",service="quay"`,
    ]);
    expect((await proxy.send("quay.io", "/v2/")).status).toBe(401);
    expect(tap.take()).toEqual(["GET /v2/"]);

    const login = async (name: string, password: string): Promise<Record<string, string>> => {
      const { host, pathname } = new URL(tokens.realm);
      const { socket, status } = await proxy.connect(host);
      expect(status).toBe(200);
      const inside = connectTls({ socket, servername: "localhost", ca: authority.certificate });
      await once(inside, "secureConnect");
      const body = await read(inside, pathname, { host, authorization: basicOf(name, password) });
      return { authorization: `Bearer ${(JSON.parse(body) as { token: string }).token}` };
    };
    const alice = await login("alice", "right");
    const bob = await login("bob", "other");
    const manifest = "/v2/org/app/manifests/v1";
    for (const path of [manifest, blobPath()]) {
      expect((await proxy.send("quay.io", path, { headers: alice })).status).toBe(200);
      const refused = await proxy.send("quay.io", path, { headers: bob });
      expect([refused.status, refused.code]).toEqual([401, "UNAUTHORIZED"]);
      expect(refused.headers["www-authenticate"]).toContain(tokens.realm);
      expect((await proxy.send("quay.io", path)).status).toBe(401);
    }
    expect(proxy.mirror.entries().length).toBeGreaterThan(0);
    expect(proxy.metric("connects_total", { result: "tunnelled" })).toBe(2);
    expect(proxy.log.join()).not.toMatch(/alices-token|right|Basic/);
    await tokens.close();
  });

  it("hands on no challenge that would send passwords to a stranger", async () => {
    tap.fault = () => ({
      kind: "answer",
      status: 401,
      headers: { "www-authenticate": 'Bearer realm="https://evil.example/token",service="quay"' },
    });
    await restart({}, {}, { access: "pass-through" });
    for (const path of ["/v2/", "/v2/org/app/manifests/v1", "/elsewhere"]) {
      const answer = await proxy.send("quay.io", path, { headers: { authorization: basicOf("alice", "right") } });
      expect(answer.headers["www-authenticate"]).toBeUndefined();
      expect(answer.status).toBe(path === "/elsewhere" ? 401 : 403);
    }
    expect((await proxy.connect("evil.example:443")).status).toBe(403);
  });

  it("RM K18: asks the registry itself about a login, each time", async () => {
    tap.fault = ({ headers }) =>
      headers.authorization === basicOf("alice", "right")
        ? undefined
        : { kind: "answer", status: 401, headers: { "www-authenticate": 'Basic realm="quay"' } };
    await restart({}, {}, { access: "pass-through" });
    const ping = async (password: string): Promise<number> =>
      (await proxy.send("quay.io", "/v2/", { headers: { authorization: basicOf("alice", password) } })).status;
    expect([await ping("wrong"), await ping("right"), await ping("wrong")]).toEqual([401, 200, 401]);
    expect(tap.requests).toHaveLength(3);
  });

  it("passes requests to other places of a registry on, without a login unless clients have their own", async () => {
    const answers = (): void => {
      tap.fault = () => ({ kind: "answer", status: 200, headers: { "set-cookie": "a=b", "x-own": "1" }, body: "told" });
    };
    answers();
    const headers = { authorization: basicOf("alice", "right"), cookie: "c=d", "x-secret": "e" };
    const open = await proxy.send("quay.io", "/v2/auth?service=quay", { headers });
    expect([open.status, open.body.toString(), open.headers["set-cookie"], open.headers["x-own"]]).toEqual([
      200,
      "told",
      undefined,
      "1",
    ]);
    expect((await proxy.send("quay.io", "/v1/search")).status).toBe(404);
    expect((await proxy.send("quay.io", "/token", { method: "POST", body: Buffer.from("x") })).status).toBe(405);
    await restart({}, {}, { access: "pass-through" });
    answers();
    await proxy.send("quay.io", "/v2/auth?service=quay", { headers });
    await proxy.send("quay.io", "/token", { method: "POST", headers, body: Buffer.from("grant_type=password") });
    const sent = tap.requests.map(({ headers: got, method, target }) => [
      method,
      target,
      got.authorization,
      got.cookie,
      got["x-secret"],
    ]);
    expect(sent).toEqual([
      ["GET", "/v2/auth?service=quay", undefined, undefined, undefined],
      ["GET", "/v2/auth?service=quay", headers.authorization, undefined, undefined],
      ["POST", "/token", headers.authorization, undefined, undefined],
    ]);
    expect(proxy.log.join()).not.toMatch(/service=quay|grant_type/);
    expect(proxy.mirror.entries()).toEqual([]);
  });

  it("RM K19: refuses pushes before their body, and says how they get to the registry", async () => {
    const inside = await proxy.secure("quay.io:443");
    inside.write("PUT /v2/org/app/manifests/v2 HTTP/1.1\r\nHost: quay.io\r\nContent-Length: 100000000\r\n\r\n");
    const [answer] = (await once(inside, "data")) as [Buffer];
    expect(answer.toString()).toMatch(/^HTTP\/1\.1 405 .*NO_PROXY/s);
    inside.destroy();
    expect(tap.requests).toEqual([]);
  });

  it("RM K19: passes pushes on as they come when that was wished for, and keeps nothing of them", async () => {
    await restart({ policy: { hosts: ["quay.io"], pushHosts: ["quay.io"] } }, {}, { access: "pass-through" });
    const layer = image.layers[0];
    expect((await proxy.send("quay.io", blobPath())).status).toBe(200);
    const entries = namesOf(proxy);
    // The layer is here, but no longer there: a push must be told so.
    tap.fault = ({ method, target }) =>
      method === "HEAD" && target.includes(layer?.digest ?? "?") ? { kind: "answer", status: 404 } : undefined;
    expect((await proxy.send("quay.io", blobPath(), { method: "HEAD" })).status).toBe(404);
    tap.fault = () => undefined;
    const blob = contentOf("a layer of a push");
    const started = await proxy.send("quay.io", "/v2/org/pushed/blobs/uploads/", { method: "POST" });
    expect([started.status, started.headers["location"]]).toEqual([202, expect.stringMatching(/^\/v2\/org\/pushed\//)]);
    const location = started.headers["location"] ?? "";
    expect((await proxy.send("quay.io", location)).status).toBe(204);
    const done = await proxy.send("quay.io", `${location}&digest=${encodeURIComponent(blob.digest)}`, {
      method: "PUT",
      body: blob.bytes,
    });
    expect(done.status).toBe(201);
    expect((await proxy.send("quay.io", `/v2/org/pushed/blobs/${blob.digest}`, { method: "HEAD" })).status).toBe(200);
    expect(namesOf(proxy)).toEqual(entries);
  });

  it("RM K19: holds nothing of a layer of half a gigabyte that is pushed through it", async () => {
    await restart({ policy: { hosts: ["quay.io"], pushHosts: ["quay.io"] } }, {}, { access: "pass-through" });
    const started = await proxy.send("quay.io", "/v2/org/large/blobs/uploads/", { method: "POST" });
    const inside = await proxy.secure("quay.io:443");
    const piece = Buffer.alloc(1024 * 1024, 7);
    const before = process.memoryUsage().rss;
    let peak = before;
    const length = 512 * piece.byteLength;
    const answer = await new Promise<number>((resolve, reject) => {
      const request = sendRequest(
        {
          createConnection: () => inside,
          method: "PATCH",
          path: started.headers["location"],
          headers: { host: "quay.io", "content-length": length, "content-type": "application/octet-stream" },
        },
        (response) => resolve(response.resume().statusCode ?? 0),
      );
      request.on("error", reject);
      const pieces = function* (): Generator<Buffer> {
        for (let count = 0; count < 512; count += 1) {
          peak = Math.max(peak, process.memoryUsage().rss);
          yield piece;
        }
      };
      Readable.from(pieces()).pipe(request);
    });
    expect(answer).toBe(202);
    expect(peak - before).toBeLessThan(200 * 1024 * 1024);
  }, 120_000);

  it("RM K20: serves a registry without TLS by requests in absolute form, and no other host", async () => {
    await restart(
      { policy: { hosts: [], httpHosts: ["reg.example.test:5000"] } },
      {},
      { hosts: ["reg.example.test:5000"] },
    );
    const get = (url: string): Promise<{ status: number; body: Buffer }> =>
      new Promise((resolve, reject) => {
        const request = sendRequest({ host: "127.0.0.1", port: proxy.port, path: url }, (response) => {
          const chunks: Buffer[] = [];
          response.on("data", (chunk: Buffer) => chunks.push(chunk));
          response.on("end", () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks) }));
        });
        request.on("error", reject).end();
      });
    for (let round = 0; round < 2; round += 1) {
      expect((await get("http://reg.example.test:5000/v2/org/app/manifests/v1")).body).toEqual(image.manifest.bytes);
    }
    expect(tap.take()).toEqual(["GET /v2/org/app/manifests/v1"]);
    for (const [url, status] of [
      ["http://evil.example/v2/", 403],
      ["http://169.254.169.254/latest/meta-data", 403],
      ["http://reg.example.test/v2/", 403],
      ["ftp://reg.example.test:5000/", 400],
      ["http://user@reg.example.test:5000/v2/", 400],
    ] as const) {
      const answer = await get(url);
      expect(answer.status, url).toBe(status);
      expect(answer.body.toString()).toContain('"errors"');
    }
    expect(tap.requests).toHaveLength(1);
  });

  it("RM K21: passes the login for the proxy on to nobody", async () => {
    await restart({ users: { robot: await hashProxyPassword("hunter2") } });
    expect((await proxy.connect("quay.io:443")).status).toBe(407);
    const authorization = { "proxy-authorization": basicOf("robot", "hunter2") };
    const { socket, status } = await proxy.connect("quay.io:443", authorization);
    expect(status).toBe(200);
    const inside = connectTls({ socket, ca: proxy.ca.certificate, servername: "quay.io" });
    await once(inside, "secureConnect");
    await read(inside, "/v2/org/app/manifests/v1", { host: "quay.io", ...authorization });
    expect(tap.requests.map(({ headers }) => headers["proxy-authorization"])).toEqual([undefined]);
    expect(proxy.log.join()).not.toMatch(/hunter2|Basic/);
    const plain = connectTcp({ port: proxy.port, host: "127.0.0.1" });
    plain.end("GET http://quay.io/v2/ HTTP/1.1\r\nHost: quay.io\r\nConnection: close\r\n\r\n");
    const [answer] = (await once(plain, "data")) as [Buffer];
    expect(answer.toString()).toMatch(/^HTTP\/1\.1 407 .*proxy-authenticate: Basic/is);
  });

  it("RM K23: has what came in through a mirror list, and the other way round", async () => {
    const ask = async (path: string): Promise<number> => {
      const response = await proxy.mirror.handle(new Request(`http://mirror${path}?ns=quay.io`));
      await response.bytes();
      return response.status;
    };
    expect([await ask("/v2/org/app/manifests/v1"), await ask(`/v2/org/app/blobs/${image.config.digest}`)]).toEqual([
      200, 200,
    ]);
    while (proxy.mirror.status().fills.length > 0) await new Promise((resolve) => setImmediate(resolve));
    tap.take();
    expect((await proxy.send("quay.io", "/v2/org/app/manifests/v1")).headers["x-cache"]).toBe("hit");
    expect((await proxy.send("quay.io", `/v2/org/app/blobs/${image.config.digest}`)).headers["x-cache"]).toBe("hit");
    expect(tap.take()).toEqual([]);
  });

  it("RM K25: serves a known tag while the registry is away, and says of others that it cannot be asked", async () => {
    const clock = createManualClock();
    await restart({ clock }, { clock });
    await proxy.send("quay.io", "/v2/org/app/manifests/v1");
    for (const { digest } of [image.config, ...image.layers])
      await proxy.send("quay.io", `/v2/org/app/blobs/${digest}`);
    await clock.advance(61_000);
    const comeBack = await tap.goDown();
    const stale = await proxy.send("quay.io", "/v2/org/app/manifests/v1");
    expect([stale.status, stale.headers["x-cache"]]).toEqual([200, "stale"]);
    const unknown = await proxy.send("quay.io", "/v2/org/app/manifests/v2");
    expect([unknown.status, unknown.code]).toEqual([502, "UNAVAILABLE"]);
    expect((await proxy.send("quay.io", `/v2/org/app/blobs/sha256:${"a".repeat(64)}`)).status).toBe(502);
    await comeBack();
  });

  function demandToken(realm: string, isGood: (token: string | undefined) => boolean): void {
    tap.fault = ({ headers }): Fault | undefined => {
      if (isGood(headers.authorization?.replace("Bearer ", ""))) return undefined;
      return {
        kind: "answer",
        status: 401,
        headers: { "www-authenticate": `Bearer realm="${realm}",service="quay"` },
      };
    };
  }

  interface TokenServer {
    readonly realm: string;
    readonly requests: { readonly authorization: string | undefined }[];
    close(): Promise<void>;
  }

  /** With TLS of its own, at another name than the registry. */
  async function startTokenServer(
    tokenFor: (request: { readonly authorization: string | undefined }) => string,
  ): Promise<TokenServer> {
    const requests: { readonly authorization: string | undefined }[] = [];
    const server: Server = createServer(({ headers: { authorization } }, response) => {
      requests.push({ authorization });
      response.end(JSON.stringify({ token: tokenFor({ authorization }), expires_in: 300 }));
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const tokenFront = await startTlsFront(() => url, await authority.issue("DNS:localhost"));
    return {
      realm: `https://localhost:${tokenFront.port}/token`,
      requests,
      async close() {
        await tokenFront[Symbol.asyncDispose]();
        server.closeAllConnections();
        server.close();
      },
    };
  }
});

function namesOf({ mirror }: ServedProxy): readonly string[] {
  return mirror.entries().map(({ name, reference }) => `${name} ${reference}`);
}

function basicOf(name: string, password: string): string {
  return `Basic ${Buffer.from(`${name}:${password}`).toString("base64")}`;
}

async function failureOf(inside: TLSSocket): Promise<string> {
  const [error] = (await once(inside, "error")) as [Error];
  return error.message;
}

async function exchange(inside: TLSSocket): Promise<string> {
  inside.write("GET /v2/ HTTP/1.1\r\nHost: quay.io\r\n\r\n");
  const [answer] = (await once(inside, "data")) as [Buffer];
  return answer.toString();
}

function read(inside: TLSSocket, path: string, headers: Readonly<Record<string, string>>): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = sendRequest(
      { createConnection: () => inside, path, headers: { connection: "close", ...headers } },
      (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
        response.on("end", () => resolve(text));
      },
    );
    request.on("error", reject).end();
  });
}
