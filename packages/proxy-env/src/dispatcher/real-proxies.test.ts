import { createHash, randomBytes } from "node:crypto";
import type { RequestListener } from "node:http";

import { startCntlm, startSquid, startTinyproxy } from "@fleetfoot-tooling/systems";
import type { Squid } from "@fleetfoot-tooling/systems";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import { Agent, interceptors } from "undici";
import type { Dispatcher } from "undici";
import { beforeAll, expect, it } from "vitest";

import { decideProxy } from "../decide.ts";
import { readProxyEnvironment } from "../settings.ts";
import { createCertificates } from "../test-support/certificates.ts";
import type { TestCertificates } from "../test-support/certificates.ts";
import { startTarget } from "../test-support/target.ts";
import type { Target } from "../test-support/target.ts";
import type { Environment } from "../variables.ts";
import { createProxyDispatcher } from "./proxy-dispatcher.ts";
import type { ProxyDispatcherOptions } from "./proxy-dispatcher.ts";

const authentication = { user: "user", password: "p@ss:w/rd" };
const userInfo = "user:p%40ss%3Aw%2Frd@";

let certificates: TestCertificates;
beforeAll(async () => {
  certificates = await createCertificates();
});

describeWithSystem(
  "squid",
  (squid) => {
    it("PE A36: reaches an https target by CONNECT with Basic auth, and uses the tunnel again", async () => {
      await using target = await startTarget({ tls: certificates });
      await using own = await startSquid({ authentication, tunnelPorts: [target.port] });
      const dispatcher = through(
        { https_proxy: `http://${userInfo}${own.authority}` },
        { createAgent: (connect) => new Agent({ connect, connections: 1 }) },
      );

      for (let count = 0; count < 3; count += 1) expect(await get(dispatcher, target)).toEqual([200, "ok"]);
      expect(target.connections()).toBe(1);
      await dispatcher.close();
      await expect
        .poll(() => own.finishedRequests())
        .toEqual([{ method: "CONNECT", url: `localhost:${target.port}`, status: 200, user: "user" }]);
      await expect.poll(() => target.openConnections()).toBe(0);
    });

    it("PE A37: forwards a plain request to a port that the proxy permits no tunnel to", async () => {
      await using target = await startTarget();
      const dispatcher = through({ http_proxy: `http://${userInfo}${squid().authority}` });
      expect(await get(dispatcher, target, "/path?query=1")).toEqual([200, "ok"]);
      expect(target.requests).toEqual([`GET /path?query=1 127.0.0.1:${target.port}`]);
      await dispatcher.close();
      const url = `${target.origin}/path?query=1`;
      await expect.poll(() => requestsOf(squid(), url)).toEqual([{ method: "GET", url, status: 200, user: "user" }]);
    });

    it.each(["http", "https"] as const)(
      "PE A38: tells of a missing password with status and scheme, and does not try again (%s)",
      async (scheme) => {
        const dispatcher = through({ all_proxy: `http://${squid().authority}` });
        const request = dispatcher.request({ origin: `${scheme}://target.invalid`, path: "/", method: "GET" });
        await expect(request).rejects.toMatchObject({
          code: "proxy-refused",
          statusCode: 407,
          authenticationSchemes: ["Basic"],
          retryable: false,
          proxy: squid().authority,
          target: `target.invalid:${scheme === "http" ? 80 : 443}`,
        });
        await dispatcher.close();
        const url = scheme === "http" ? "http://target.invalid/" : "target.invalid:443";
        await expect.poll(async () => (await requestsOf(squid(), url)).length).toBe(1);
      },
    );

    it("tells of a tunnel that the proxy does not permit", async () => {
      await using target = await startTarget({ tls: certificates });
      const dispatcher = through({ https_proxy: `http://${userInfo}${squid().authority}` });
      await expect(get(dispatcher, target)).rejects.toMatchObject({ code: "proxy-refused", statusCode: 403 });
      await dispatcher.close();
    });

    it("PE A45: a redirect from a proxied host to a bypassed one is followed directly", async () => {
      await using second = await startTarget();
      const location = `http://localhost:${second.port}/second`;
      await using first = await startTarget({
        answer: (_request, response) => response.writeHead(307, { location }).end(),
      });
      const environment = { http_proxy: `http://${userInfo}${squid().authority}`, no_proxy: "localhost" };
      const dispatcher = through(environment);
      const following = dispatcher.compose(interceptors.redirect({ maxRedirections: 3 }));
      expect(await get(following, first, "/first")).toEqual([200, "ok"]);
      expect(second.requests).toEqual([`GET /second localhost:${second.port}`]);
      await dispatcher.close();
      await expect.poll(() => requestsOf(squid(), `${first.origin}/first`)).toHaveLength(1);
      expect(await requestsOf(squid(), location)).toEqual([]);
    });
  },
  () => startSquid({ authentication }),
);

describeWithSystem(
  "squid",
  (squid) => {
    it("PE A40: uploads 3 MB over https through cntlm and a proxy that wants NTLM", async () => {
      await using target = await startTarget({ tls: certificates, answer: answerDigest });
      await using ntlm = await startSquid({ authentication: "ntlm", tunnelPorts: [target.port] });
      await using cntlm = await startCntlm({ parent: ntlm.authority });
      const dispatcher = through({ https_proxy: cntlm.authority });
      const body = randomBytes(3_000_000);
      for (let count = 0; count < 2; count += 1) {
        const response = await dispatcher.request({ origin: target.origin, path: "/", method: "PUT", body });
        expect([response.statusCode, await response.body.text()]).toEqual([200, sha256(body)]);
      }
      await dispatcher.close();
      await expect
        .poll(async () => (await requestsOf(ntlm, `localhost:${target.port}`)).filter(({ status }) => status === 200))
        .toContainEqual(expect.objectContaining({ method: "CONNECT", user: expect.stringMatching(/testuser/i) }));
    });

    it("forwards plain requests through cntlm", async () => {
      await using target = await startTarget();
      await using cntlm = await startCntlm({ parent: squid().authority });
      const dispatcher = through({ http_proxy: cntlm.authority });
      expect(await get(dispatcher, target)).toEqual([200, "ok"]);
      await dispatcher.close();
      await expect
        .poll(() => requestsOf(squid(), `${target.origin}/`))
        .toContainEqual(expect.objectContaining({ status: 200, user: expect.stringMatching(/testuser/i) }));
    });
  },
  () => startSquid({ authentication: "ntlm" }),
);

describeWithSystem(
  "tinyproxy",
  (tinyproxy) => {
    it("forwards and tunnels through another proxy, too", async () => {
      await using plain = await startTarget();
      await using secure = await startTarget({ tls: certificates });
      const dispatcher = through({ all_proxy: `http://user:p4ss@${tinyproxy().authority}` });
      expect(await get(dispatcher, plain)).toEqual([200, "ok"]);
      expect(await get(dispatcher, secure)).toEqual([200, "ok"]);
      await dispatcher.close();
    });

    it.each(["http", "https"] as const)("tells of missing credentials (%s)", async (scheme) => {
      const dispatcher = through({ all_proxy: tinyproxy().authority });
      const request = dispatcher.request({ origin: `${scheme}://localhost:1`, path: "/", method: "GET" });
      await expect(request).rejects.toMatchObject({ code: "proxy-refused", statusCode: 407 });
      await dispatcher.close();
    });
  },
  () => startTinyproxy({ basicAuth: { user: "user", password: "p4ss" } }),
);

/** All targets are on this machine, so the loopback bypass is off. */
function through(environment: Environment, options: Partial<ProxyDispatcherOptions> = {}) {
  const settings = readProxyEnvironment(environment, { loopbackBypass: false });
  return createProxyDispatcher({
    decide: (url) => decideProxy(settings, url),
    targetTls: { ca: certificates.ca },
    ...options,
  });
}

const answerDigest: RequestListener = (request, response) => {
  const hash = createHash("sha256");
  request.on("data", (chunk: Buffer) => hash.update(chunk));
  request.once("end", () => response.end(hash.digest("hex")));
};

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

async function requestsOf(squid: Squid, url: string) {
  return (await squid.finishedRequests()).filter((request) => request.url === url);
}

async function get(dispatcher: Dispatcher, target: Target, path = "/"): Promise<[number, string]> {
  const { statusCode, body } = await dispatcher.request({ origin: target.origin, path, method: "GET" });
  return [statusCode, await body.text()];
}
