import type { RequestListener } from "node:http";

import { buildConnector } from "undici";
import type { Dispatcher } from "undici";
import { beforeAll, describe, expect, it } from "vitest";

import { decideProxy } from "../decide.ts";
import { parseProxyUrl } from "../parse-proxy-url.ts";
import { readProxyEnvironment } from "../settings.ts";
import { createCertificates } from "../test-support/certificates.ts";
import type { TestCertificates } from "../test-support/certificates.ts";
import { join, startConnectProxy } from "../test-support/connect-proxy.ts";
import { startTarget } from "../test-support/target.ts";
import { createProxyDispatcher } from "./proxy-dispatcher.ts";
import type { ProxyDispatcher, ProxyDispatcherOptions } from "./proxy-dispatcher.ts";

let certificates: TestCertificates;
let proxyCertificates: TestCertificates;
beforeAll(async () => {
  [certificates, proxyCertificates] = await Promise.all([createCertificates(), createCertificates()]);
});

describe("createProxyDispatcher", () => {
  it("PE A42: reaches a target with a certificate of its own authority, and names the target without that authority", async () => {
    await using target = await startTarget({ tls: certificates });
    await using proxy = await startConnectProxy();
    const trusting = through(proxy.authority, { targetTls: { ca: certificates.ca } });
    expect(await get(trusting, target.origin)).toBe("ok");
    await trusting.close();

    const stranger = through(proxy.authority);
    await expect(get(stranger, target.origin)).rejects.toMatchObject({
      code: "target-connection",
      retryable: false,
      target: `localhost:${target.port}`,
      proxy: proxy.authority,
      message: expect.stringMatching(/localhost:\d+ \(proxied through 127\.0\.0\.1:\d+\): .*certificate/),
      cause: expect.objectContaining({ code: "UNABLE_TO_VERIFY_LEAF_SIGNATURE" }),
    });
    await expect.poll(() => proxy.openConnections()).toBe(0);
    await stranger.close();
  });

  it("trusts an https proxy by proxyTls, which is not the target's trust", async () => {
    await using target = await startTarget({ tls: certificates });
    await using proxy = await startConnectProxy({ tls: proxyCertificates });
    const url = `https://${proxy.authority}`;
    const targetTls = { ca: certificates.ca };
    const both = through(url, { targetTls, proxyTls: { ca: proxyCertificates.ca } });
    expect(await get(both, target.origin)).toBe("ok");
    await both.close();

    const onlyTarget = through(url, { targetTls });
    await expect(get(onlyTarget, target.origin)).rejects.toMatchObject({
      code: "proxy-connection",
      retryable: false,
      proxy: proxy.authority,
    });
    await onlyTarget.close();

    const onlyProxy = through(url, { proxyTls: { ca: proxyCertificates.ca } });
    await expect(get(onlyProxy, target.origin)).rejects.toMatchObject({ code: "target-connection" });
    await onlyProxy.close();
  });

  it("forwards a plain request over TLS to an https proxy, with every form of headers", async () => {
    // A proxy that is a target for once: what it is asked is what a proxy would be asked.
    await using proxy = await startTarget({
      tls: proxyCertificates,
      answer: (request, response) => response.end(JSON.stringify([request.url, request.headers])),
    });
    const url = `https://user:pw@127.0.0.1:${proxy.port}`;
    const dispatcher = through(url, { proxyTls: { ca: proxyCertificates.ca } });
    for (const headers of [
      { "x-a": "1", "x-b": ["2", "3"], "proxy-authorization": "Basic stolen" },
      ["x-a", "1", "x-b", "2", "x-b", "3"],
      new Map([["x-a", "1"] as [string, string], ["x-b", "2, 3"] as [string, string]]),
    ] satisfies readonly Dispatcher.DispatchOptions["headers"][]) {
      const options = { origin: "http://target.test:8080", path: "/a?b=c", method: "GET", headers } as const;
      const { body } = await dispatcher.request(options);
      expect(await body.json()).toEqual([
        "http://target.test:8080/a?b=c",
        expect.objectContaining({
          host: "target.test:8080",
          "x-a": "1",
          "x-b": "2, 3",
          "proxy-authorization": `Basic ${Buffer.from("user:pw").toString("base64")}`,
        }),
      ]);
    }
    await dispatcher.close();
  });

  it("ends a forwarded upload that the proxy answers with 407, whatever was sent of it", async () => {
    await using proxy = await startTarget({
      answer: (_request, response) =>
        response.writeHead(407, { "proxy-authenticate": ['Basic realm="a"', "NTLM"] }).end("<html>".repeat(1000)),
    });
    const dispatcher = through(`127.0.0.1:${proxy.port}`);
    const body = Buffer.alloc(5_000_000);
    const upload = dispatcher.request({ origin: "http://target.test", path: "/", method: "PUT", body });
    await expect(upload).rejects.toMatchObject({
      code: "proxy-refused",
      statusCode: 407,
      authenticationSchemes: ["Basic", "NTLM"],
      target: "target.test:80",
    });
    await dispatcher.close();
    expect(proxy.requests).toHaveLength(1);
    await expect.poll(() => proxy.openConnections()).toBe(0);
  });

  it("says of a direct connection that it is direct", async () => {
    const dispatcher = through("127.0.0.1:1", { decide: () => ({ proxy: undefined }) });
    await expect(get(dispatcher, "http://127.0.0.1:1")).rejects.toMatchObject({
      code: "target-connection",
      proxy: undefined,
      target: "127.0.0.1:1",
      message: expect.stringContaining("(directly)"),
    });
    await dispatcher.close();
  });

  it("says in words that a server does not speak TLS", async () => {
    await using target = await startTarget();
    const dispatcher = through("127.0.0.1:1", { decide: () => ({ proxy: undefined }) });
    await expect(get(dispatcher, target.origin.replace("http:", "https:"))).rejects.toMatchObject({
      code: "target-connection",
      message: expect.stringMatching(/^Cannot connect to \S+ \(directly\): what answers there does not speak TLS$/),
    });
    await dispatcher.close();
  });

  it("lets one request go directly, or through another proxy", async () => {
    await using target = await startTarget();
    await using proxy = await startConnectProxy();
    const { server } = parseProxyUrl(proxy.authority);
    if (server === undefined) throw new Error("not a proxy");
    const dispatcher = through("127.0.0.1:1");
    const request = { origin: target.origin, path: "/", method: "GET" } as const;
    const direct = await dispatcher.request({ ...request, proxy: "direct" });
    expect(await direct.body.text()).toBe("ok");
    await expect(dispatcher.request({ ...request, proxy: "auto" })).rejects.toThrow("127.0.0.1:1");
    await expect(dispatcher.request({ ...request, origin: "https://localhost:1", proxy: server })).rejects.toThrow(
      proxy.authority,
    );
    await dispatcher.close();
  });

  it("sends ten requests at a time and large bodies through tunnels, and leaves no connection behind", async () => {
    const answer: RequestListener = (request, response) => {
      let length = 0;
      request.on("data", (chunk: Buffer) => (length += chunk.length));
      request.once("end", () => response.end(String(length)));
    };
    await using target = await startTarget({ tls: certificates, answer });
    await using proxy = await startConnectProxy();
    const dispatcher = through(proxy.authority, { targetTls: { ca: certificates.ca } });
    const uploads = Array.from({ length: 10 }, async (_, index) => {
      const body = Buffer.alloc(1_000_000 + index);
      const response = await dispatcher.request({ origin: target.origin, path: "/", method: "PUT", body });
      return Number(await response.body.text());
    });
    expect(await Promise.all(uploads)).toEqual(Array.from({ length: 10 }, (_, index) => 1_000_000 + index));
    expect(proxy.heads.length).toBeLessThanOrEqual(10);
    await dispatcher.close();
    await expect.poll(() => proxy.openConnections() + target.openConnections()).toBe(0);
  });

  it("gives up tunnels that are being opened when it is destroyed", async () => {
    const asked = Promise.withResolvers<void>();
    await using proxy = await startConnectProxy({ onConnect: () => asked.resolve() });
    const dispatcher = through(proxy.authority);
    const request = get(dispatcher, "https://localhost:1");
    const rejected = expect(request).rejects.toMatchObject({ code: "UND_ERR_DESTROYED" });
    await asked.promise;
    await dispatcher.destroy();
    await rejected;
    await expect.poll(() => proxy.openConnections()).toBe(0);
  });

  it("takes no request once it is closed", async () => {
    const dispatcher = through("127.0.0.1:1");
    await dispatcher.close();
    await expect(get(dispatcher, "http://localhost:1")).rejects.toMatchObject({ code: "UND_ERR_DESTROYED" });
    const ended = new Promise<void>((resolve) => dispatcher.destroy(resolve));
    await ended;
  });

  it("uses a connector of the caller for direct connections and for TLS over tunnels", async () => {
    await using target = await startTarget({ tls: certificates });
    await using proxy = await startConnectProxy({ onConnect: (socket, head) => join(socket, head) });
    const seen: boolean[] = [];
    const own = buildConnector({ ca: certificates.ca, allowH2: false });
    const connect: buildConnector.connector = (options, callback) => {
      seen.push(options.httpSocket !== undefined);
      own(options, callback);
    };
    const dispatcher = through(proxy.authority, { connect });
    expect(await get(dispatcher, target.origin)).toBe("ok");
    await dispatcher.request({ origin: target.origin, path: "/", method: "GET", proxy: "direct" });
    expect(seen).toEqual([true, false]);
    await dispatcher.destroy();
    expect(() => through(proxy.authority, { connect, targetTls: {} })).toThrow(TypeError);
  });
});

/** Sends everything through one proxy, this machine included. */
function through(proxyUrl: string, options: Partial<ProxyDispatcherOptions> = {}): ProxyDispatcher {
  const settings = readProxyEnvironment({ all_proxy: proxyUrl }, { loopbackBypass: false });
  return createProxyDispatcher({ decide: (url) => decideProxy(settings, url), ...options });
}

async function get(dispatcher: Dispatcher, origin: string): Promise<string> {
  const { body } = await dispatcher.request({ origin, path: "/", method: "GET" });
  return await body.text();
}
