import { once } from "node:events";
import { connect as connectTcp, createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { duplexPair } from "node:stream";
import type { Duplex } from "node:stream";
import { connect as connectTls } from "node:tls";
import { decideProxy, readProxyEnvironment } from "@fleetfoot/proxy-env";
import { createProxyDispatcher, openTunnel } from "@fleetfoot/proxy-env/dispatcher";
import { makeCertificateFolder, startSquid, startTlsFront } from "@fleetfoot-tooling/systems";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { pushImage } from "../testing/images.ts";
import { createManualClock } from "../testing/manual-clock.ts";
import { serveConnect } from "../testing/serve-connect.ts";
import type { ServedProxy } from "../testing/serve-connect.ts";
import { hashProxyPassword } from "./index.ts";
import type { ConnectOptions } from "./index.ts";

/** A server that sends back what it gets, and the end of it. */
let echo: Server;
let echoPort: number;
let proxy: ServedProxy | undefined;
let dialled: string[];

beforeEach(async () => {
  dialled = [];
  echo = createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket)).listen(0, "127.0.0.1");
  await once(echo, "listening");
  echoPort = (echo.address() as AddressInfo).port;
});

afterEach(async () => {
  await proxy?.[Symbol.asyncDispose]();
  proxy = undefined;
  echo.close();
});

/** Every address leads to the echo; which one it was is written down. */
async function start(options: Partial<Omit<ConnectOptions, "mirror">> = {}): Promise<ServedProxy> {
  const dial = async (address: string, port: number): Promise<Duplex> => {
    dialled.push(`${address}:${port}`);
    const socket = connectTcp({ port: echoPort, host: "127.0.0.1", allowHalfOpen: true });
    await once(socket, "connect");
    return socket;
  };
  proxy = await serveConnect({
    policy: { hosts: ["quay.io"], otherHosts: "tunnel" },
    dial,
    ...options,
    mirror: { upstreams: { quay: { url: "http://127.0.0.1:9", hosts: ["quay.io"] } } },
  });
  return proxy;
}

async function everything(socket: Socket): Promise<string> {
  let text = "";
  for await (const chunk of socket as AsyncIterable<Buffer>) text += chunk.toString();
  return text;
}

describe("tunnels", () => {
  it.each([
    "10.1.2.3",
    "127.0.0.1",
    "169.254.169.254",
    "[::1]",
    "[::ffff:10.1.2.3]",
    "[64:ff9b::a01:203]",
    "2130706433",
    "0x7f.1",
    "127.1",
    "0177.0.0.1",
    "localhost",
  ])("RM K3: are not opened to %s", async (host) => {
    const { connect } = await start();
    expect(await connect(`${host}:443`)).toMatchObject({
      status: 403,
      phrase: expect.stringContaining("allowPrivate"),
    });
    expect(dialled).toEqual([]);
  });

  it("RM K3: are not opened to a name that leads to a private address, or to a private and a public one", async () => {
    const addresses: Record<string, readonly string[]> = {
      "inner.example": ["10.1.2.3"],
      "both.example": ["198.51.100.7", "10.1.2.3"],
      "none.example": [],
    };
    const { connect } = await start({ resolve: (host) => Promise.resolve(addresses[host] ?? []) });
    for (const host of Object.keys(addresses)) expect((await connect(`${host}:443`)).status).toBe(403);
    expect(dialled).toEqual([]);
  });

  it("RM K4: lead into private networks that were allowed, and into no others", async () => {
    const { connect } = await start({ allowPrivate: ["10.1.2.0/24"], resolve: () => Promise.resolve(["10.1.2.3"]) });
    const answers: Record<string, number> = {};
    for (const host of ["10.1.2.3", "inner.example", "10.1.3.3", "127.0.0.1"]) {
      const { socket, status } = await connect(`${host}:443`);
      answers[host] = status;
      socket.destroy();
    }
    expect(answers).toEqual({ "10.1.2.3": 200, "inner.example": 200, "10.1.3.3": 403, "127.0.0.1": 403 });
    expect(dialled).toEqual(["10.1.2.3:443", "10.1.2.3:443"]);
  });

  it("RM K5: lead to the address that was checked, after one look-up", async () => {
    const answers = [["198.51.100.7"], ["10.1.2.3"]];
    const asked: string[] = [];
    const resolve = (host: string): Promise<readonly string[]> => {
      asked.push(host);
      return Promise.resolve(answers.shift() ?? []);
    };
    const { connect } = await start({ resolve });
    expect((await connect("changing.example:443")).status).toBe(200);
    expect([asked, dialled]).toEqual([["changing.example"], ["198.51.100.7:443"]]);
  });

  it("never lead back to the mirror itself, not even where private addresses are allowed", async () => {
    const { connect } = await start({
      allowPrivate: ["127.0.0.0/8"],
      isOwnAddress: (address, port) => address === "127.0.0.1" && port === 443,
    });
    expect((await connect("127.0.0.1:443")).status).toBe(403);
    expect((await connect("127.0.0.2:443")).status).toBe(200);
  });

  it("RM K6: are refused by default, with a phrase that names host and setting", async () => {
    const { connect, log, mirror } = await start({ policy: { hosts: ["quay.io"] } });
    const { headers, phrase, socket, status } = await connect("other.example:443");
    const expected = "fleetfoot-mirror: other.example:443 is not on the list (connect.hosts, connect.otherHosts)";
    expect([status, phrase, headers["content-type"]]).toEqual([403, expected, "text/plain"]);
    expect(await everything(socket)).toBe(`${expected}\n`);
    expect(log.filter((line) => line.includes(expected))).toHaveLength(1);
    expect([dialled, mirror.entries()]).toEqual([[], []]);
  });

  it("RM K6: pass a host's own certificate and bytes on unchanged, and nothing of it is cached", async () => {
    await using certificates = await makeCertificateFolder();
    const authority = await certificates.makeAuthority("origin");
    await using front = await startTlsFront(
      () => `http://127.0.0.1:${echoPort}`,
      await authority.issue("DNS:origin.example"),
    );
    const dial = async (): Promise<Duplex> => {
      const socket = connectTcp({ port: front.port, host: "127.0.0.1" });
      await once(socket, "connect");
      return socket;
    };
    const { connect, handler, mirror } = await start({ resolve: () => Promise.resolve(["198.51.100.7"]), dial });
    const { socket } = await connect("origin.example:443");
    const inside = connectTls({ socket, servername: "origin.example", ca: authority.certificate });
    await once(inside, "secureConnect");
    inside.write("as it is");
    expect(String(await once(inside, "data"))).toBe("as it is");
    inside.destroy();
    expect(mirror.entries()).toEqual([]);
    expect(handler.metrics()).toContainEqual({ name: "connects_total", labels: { result: "tunnelled" }, value: 1 });
  });

  it("pass on the end of one direction, and write down host, bytes and time only", async () => {
    const { connect, log, metric } = await start({ resolve: () => Promise.resolve(["198.51.100.7"]) });
    const { socket } = await connect("other.example:443", { "proxy-authorization": "Basic c2VjcmV0OnNlY3JldA==" });
    socket.end("secret words");
    expect(await everything(socket)).toBe("secret words");
    await expect.poll(() => metric("tunnel_bytes_total")).toBe(24);
    expect(metric("tunnels_open")).toBe(0);
    expect(log.filter((line) => line.includes("a tunnel has ended"))).toEqual([
      expect.stringMatching(/"target":"other.example:443","bytes":24,"milliseconds":\d+/),
    ]);
    expect(log.join()).not.toMatch(/secret|c2Vj/);
  });

  it("take the other end with them when one breaks off, and tell of a host that cannot be reached", async () => {
    const { connect, metric } = await start({ resolve: () => Promise.resolve(["198.51.100.7"]) });
    const { socket } = await connect("other.example:443");
    socket.write("x");
    await once(socket, "data");
    socket.resetAndDestroy();
    await expect.poll(() => metric("tunnels_open")).toBe(0);
    await proxy?.[Symbol.asyncDispose]();
    const refused = await start({
      resolve: () => Promise.resolve(["198.51.100.7"]),
      dial: () => Promise.reject(new Error("refused")),
    });
    expect(await refused.connect("other.example:443")).toMatchObject({
      status: 502,
      phrase: "fleetfoot-mirror: other.example:443 cannot be reached",
    });
  });

  it("RM K28: are a thousand at most; one through which nothing comes is closed after ten minutes", async () => {
    const clock = createManualClock();
    const ends: Duplex[] = [];
    const dial = (): Promise<Duplex> => {
      const [near, far] = duplexPair();
      ends.push(far);
      return Promise.resolve(near);
    };
    const { connect, metric } = await start({ clock, dial, resolve: () => Promise.resolve(["198.51.100.7"]) });
    const open: Socket[] = [];
    for (let round = 0; round < 10; round += 1) {
      const answers = await Promise.all(Array.from({ length: 100 }, () => connect("other.example:443")));
      for (const { socket, status } of answers) {
        expect(status).toBe(200);
        open.push(socket);
      }
    }
    expect(await connect("other.example:443")).toMatchObject({
      status: 503,
      phrase: "fleetfoot-mirror: too many tunnels",
    });
    await clock.advance(9 * 60_000);
    const [busy] = open;
    busy?.write("still there");
    if (ends[0] !== undefined) await once(ends[0], "data");
    await clock.advance(60_000 + 1);
    await expect.poll(() => metric("tunnels_open")).toBe(1);
    await clock.advance(9 * 60_000);
    await expect.poll(() => metric("tunnels_open")).toBe(0);
    for (const socket of open) socket.destroy();
  }, 60_000);

  it("RM K28: may end by themselves while the mirror is stopped, and are cut when the time is over", async () => {
    const { connect, handler } = await start({ resolve: () => Promise.resolve(["198.51.100.7"]) });
    const [{ socket: one }, { socket: other }] = await Promise.all([
      connect("one.example:443"),
      connect("two.example:443"),
    ]);
    const limit = new AbortController();
    const closed = handler.close(limit.signal);
    expect((await connect("three.example:443")).status).toBe(503);
    one.end("bye");
    expect(await everything(one)).toBe("bye");
    const cut = once(other, "close");
    limit.abort();
    await Promise.all([closed, cut]);
  });

  it("are not opened any more when the mirror is stopped while the far side is still being connected to", async () => {
    const dialling = Promise.withResolvers<void>();
    const connected = Promise.withResolvers<Duplex>();
    const dial = (): Promise<Duplex> => {
      dialling.resolve();
      return connected.promise;
    };
    const { connect, handler, metric } = await start({ dial, resolve: () => Promise.resolve(["198.51.100.7"]) });
    const refused = expect(connect("one.example:443")).rejects.toThrow();
    await dialling.promise;
    await handler.close(new AbortController().signal);
    const [near] = duplexPair();
    connected.resolve(near);
    await refused;
    expect([near.destroyed, metric("tunnels_open")]).toEqual([true, 0]);
  });

  it("RM K21: want a login when users are set, which goes no further", async () => {
    const users = { robot: await hashProxyPassword("hunter2-secret") };
    const { connect, log } = await start({ users, resolve: () => Promise.resolve(["198.51.100.7"]) });
    const basic = (login: string): Record<string, string> => ({
      "proxy-authorization": `Basic ${Buffer.from(login).toString("base64")}`,
    });
    for (const headers of [
      {},
      basic("robot:wrong"),
      basic("nobody:hunter2-secret"),
      basic("robot"),
      { "proxy-authorization": "Bearer x" },
    ]) {
      const { headers: answered, status } = await connect("other.example:443", headers);
      expect([status, answered["proxy-authenticate"]]).toEqual([407, 'Basic realm="fleetfoot-mirror"']);
    }
    for (let round = 0; round < 2; round += 1) {
      const { socket, status } = await connect("other.example:443", basic("robot:hunter2-secret"));
      expect(status).toBe(200);
      socket.end("only this");
      expect(await everything(socket)).toBe("only this");
    }
    expect(log.join()).not.toMatch(/hunter2|cm9ib3Q/);
  });
});

describe("hostile clients", () => {
  it("reach no host that is not configured, whatever they ask for and send", async () => {
    const { connect, metric, send } = await start({
      policy: { hosts: ["quay.io"], tunnelHosts: ["listed.example"] },
      resolve: (host) => Promise.resolve(host === "listed.example" ? ["198.51.100.7"] : ["198.51.100.66"]),
      handshakeMs: 200,
    });
    const host = fc.oneof(
      fc.constantFrom(
        "quay.io",
        "QUAY.IO.",
        "listed.example",
        "evil.example",
        "quay.io.evil.example",
        "127.0.0.1",
        "[::1]",
        "169.254.169.254",
        "quay.io@evil.example",
        "quay.io%00.evil.example",
        "x".repeat(400),
      ),
      fc.domain(),
      fc.ipV4(),
    );
    const port = fc.constantFrom(":443", ":443", ":443", ":80", ":22", ":0", ":99999", "", ":-1");
    const first = fc.oneof(
      fc.constantFrom(
        "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        "\x16\x03\x01",
        "\x16\x03\x01\x00\x00",
        "\x16\x03\x01\xff\xff\x01",
        "",
        "CONNECT evil.example:443 HTTP/1.1\r\n\r\n",
      ),
      fc.string({ unit: "binary", maxLength: 100 }),
    );
    await fc.assert(
      fc.asyncProperty(host, port, first, async (name, suffix, bytes) => {
        const target = `${name}${suffix}`;
        const { socket, status } = await connect(encodeURI(target));
        expect([200, 400, 403]).toContain(status);
        if (status === 200)
          expect(["quay.io:443", "quay.io.:443", "listed.example:443"]).toContain(target.toLowerCase());
        socket.on("error", () => {});
        socket.write(Buffer.from(bytes, "latin1"));
        socket.destroy();
      }),
      { numRuns: 3000 },
    );
    expect(new Set(dialled)).toEqual(new Set(["198.51.100.7:443"]));
    await expect.poll(() => metric("tunnels_open")).toBe(0);
    expect((await send("quay.io", "/v2/")).status).toBe(200);
  }, 240_000);

  it("are let go when they speak no TLS, name another host, or take too long", async () => {
    const { ca, connect, metric, secure } = await start({ handshakeMs: 300 });
    for (const bytes of ["GET / HTTP/1.1\r\n\r\n", "", "\x16\x03\x01\x02\x00\x01"]) {
      const { socket } = await connect("quay.io:443");
      const closed = once(socket.resume(), "close");
      socket.write(Buffer.from(bytes, "latin1"));
      await closed;
    }
    const { socket } = await connect("quay.io:443");
    const inside = connectTls({ socket, servername: "evil.example", ca: ca.certificate });
    const [error] = (await once(inside, "error")) as [Error & { code: string }];
    expect(error.message).toMatch(/unrecognized.name/);
    expect(metric("handshakes_failed_total")).toBe(4);
    expect((await secure("quay.io:443")).authorized).toBe(true);
    expect(dialled).toEqual([]);
  });

  it("RM K26: with broken request lines get 400, and the mirror goes on serving", async () => {
    const { port, send } = await start();
    for (const line of [
      "CONNECT quay.io",
      "CONNECT quay.io:0",
      "CONNECT user@quay.io:443",
      `CONNECT ${"a".repeat(10_000)}:443`,
      "CONNECT quay.io\x01:443",
      "CONNECT quäy.io:443",
      "CONNECT :443",
      "CONNECT",
    ]) {
      const socket = connectTcp({ port, host: "127.0.0.1" });
      socket.end(`${line} HTTP/1.1\r\nHost: x\r\n\r\n`);
      expect(await everything(socket), line).toMatch(/^HTTP\/1\.1 400 /);
    }
    expect((await send("QUAY.IO.", "/v2/")).status).toBe(200);
  });
});

describeWithSystem("docker-registry", (registry) => {
  it("RM K22: go through a proxy with a login when the mirror has to use one, as its own requests do", async () => {
    await using certificates = await makeCertificateFolder();
    const authority = await certificates.makeAuthority("upstream");
    await using front = await startTlsFront(() => registry().endpoint, await authority.issue());
    await using other = await startTlsFront(() => `http://127.0.0.1:${echoPort}`, await authority.issue());
    const login = { user: "mirror", password: "p@ss" };
    await using squid = await startSquid({ authentication: login, tunnelPorts: [front.port, other.port] });
    const environment = { https_proxy: `http://mirror:p%40ss@${squid.authority}` };
    const settings = readProxyEnvironment(environment, { loopbackBypass: false });
    const decide = (url: URL): ReturnType<typeof decideProxy> => decideProxy(settings, url);
    const image = await pushImage(registry().endpoint, "org/proxied", "v1");
    const dispatcher = createProxyDispatcher({ decide, targetTls: { ca: authority.certificate } });
    proxy = await serveConnect({
      policy: { hosts: ["quay.io"], tunnelHosts: [`localhost:${other.port}`] },
      allowPrivate: ["127.0.0.0/8", "::1"],
      throughProxy: ({ host, port }) => {
        const { proxy: server } = decide(new URL(`https://${host}:${port}`));
        return server === undefined ? undefined : (signal) => openTunnel(server, `${host}:${port}`, { signal });
      },
      dial: () => Promise.reject(new Error("connected without the proxy")),
      mirror: {
        upstreams: {
          quay: { url: `https://127.0.0.1:${front.port}`, hosts: ["quay.io"], ca: authority.certificate },
        },
        dispatcher,
      },
    });
    expect((await proxy.send("quay.io", "/v2/org/proxied/manifests/v1")).body).toEqual(image.manifest.bytes);
    const { socket, status } = await proxy.connect(`localhost:${other.port}`);
    expect(status).toBe(200);
    const inside = connectTls({ socket, servername: "localhost", ca: authority.certificate });
    await once(inside, "secureConnect");
    inside.destroy();
    await proxy[Symbol.asyncDispose]();
    proxy = undefined;
    await dispatcher.destroy();
    await expect
      .poll(() => squid.finishedRequests())
      .toEqual(
        expect.arrayContaining([
          { method: "CONNECT", url: `127.0.0.1:${front.port}`, status: 200, user: "mirror" },
          { method: "CONNECT", url: `localhost:${other.port}`, status: 200, user: "mirror" },
        ]),
      );
  });
});
