import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";

import { readProxyEnvironment } from "@fleetfoot/proxy-env";
import type { ProxySettings } from "@fleetfoot/proxy-env";
import { makeCertificateFolder, startSquid } from "@fleetfoot-tooling/systems";
import { describe, expect, it } from "vitest";

import { startServer } from "../test-support/recording-server.ts";
import { bytes, createTestClient, job, JOB_TOKEN, runner } from "../test-support/test-client.ts";
import { startTlsServer } from "../test-support/tls-server.ts";

const authentication = { user: "runner", password: "p@ss" };

/** Tests have everything on this machine, which no proxy would be asked for otherwise. */
function proxied(variables: Readonly<Record<string, string>>): ProxySettings {
  return readProxyEnvironment(variables, { loopbackBypass: false });
}

describe("a proxy", () => {
  it("tunnels the calls of a coordinator with TLS, whose certificates are renewed as without one", async () => {
    await using folder = await makeCertificateFolder();
    const [old, next] = [await folder.makeAuthority("old"), await folder.makeAuthority("next")];
    const caFile = join(folder.path, "ca.pem");
    await writeFile(caFile, old.certificate);
    await using server = await startTlsServer(await old.issue(), (_request, response) => {
      response.writeHead(204).end();
    });
    const port = Number(new URL(server.url).port);
    await using squid = await startSquid({ authentication, tunnelPorts: [port] });
    const proxies = proxied({ https_proxy: `http://runner:p%40ss@${squid.authority}` });
    await using test = createTestClient({ url: server.url, tls: { caFile }, proxies });

    expect(await test.client.requestJob(runner)).toMatchObject({ status: 204, attempts: 1 });
    expect(keepaliveTimer(Number(squid.authority.split(":")[1]))).toBeGreaterThan(0);
    expect(keepaliveTimer(Number(squid.authority.split(":")[1]))).toBeLessThanOrEqual(30);
    server.replaceCertificate(await next.issue());
    expect(await test.client.requestJob(runner)).toMatchObject({ status: -1 });
    await writeFile(caFile, next.certificate);
    expect(await test.client.requestJob(runner)).toMatchObject({ status: 204, attempts: 1 });

    await test.client.close();
    await expect.poll(async () => (await squid.finishedRequests()).length).toBeGreaterThanOrEqual(2);
    for (const request of await squid.finishedRequests()) {
      expect(request).toMatchObject({ method: "CONNECT", url: `localhost:${port}`, user: "runner" });
    }
  });

  it("forwards the calls of a coordinator without TLS, also through the retry layer", async () => {
    await using server = await startServer({ status: 503 }, { status: 202 });
    await using squid = await startSquid();
    await using test = createTestClient({
      url: server.url,
      proxies: proxied({ http_proxy: `http://${squid.authority}` }),
    });

    expect(await test.client.patchTrace(job, { offset: 0, bytes: bytes("hello") })).toMatchObject({
      outcome: "ok",
      attempts: 2,
    });
    expect(server.requests).toMatchObject([
      { method: "PATCH", headers: { "job-token": JOB_TOKEN, "content-range": "0-4" } },
      { method: "PATCH", headers: { "job-token": JOB_TOKEN, "content-range": "0-4" } },
    ]);
    const url = `${server.url}/api/v4/jobs/7/trace?debug_trace=false`;
    await expect
      .poll(async () => (await squid.finishedRequests()).map((request) => `${request.status} ${request.url}`))
      .toEqual([`503 ${url}`, `202 ${url}`]);
  });

  it("is left out for hosts of the bypass list, a host that a redirect names as well", async () => {
    await using storage = await startServer({ status: 200, body: "archive" });
    const direct = storage.url.replace("127.0.0.1", "localhost");
    await using server = await startServer({ status: 302, headers: { location: `${direct}/object` } });
    await using squid = await startSquid();
    const proxies = proxied({ http_proxy: `http://${squid.authority}`, no_proxy: "localhost" });
    await using test = createTestClient({ url: server.url, proxies });
    let received = "";

    await test.client.downloadArtifacts(job, async (body) => {
      received = await new Response(body).text();
    });

    expect(received).toBe("archive");
    await expect.poll(async () => (await squid.finishedRequests()).map(({ status }) => status)).toContain(302);
    for (const { url } of await squid.finishedRequests()) expect(url.startsWith(server.url)).toBe(true);
  });

  it("that refuses is named in the message, with what to do and without its password", async () => {
    await using squid = await startSquid({ authentication });
    const proxies = proxied({ all_proxy: `http://runner:wrong-secret@${squid.authority}` });
    for (const url of ["https://coordinator.invalid", "http://coordinator.invalid"]) {
      await using test = createTestClient({ url, proxies });

      const result = await test.client.requestJob(runner);

      expect(result).toMatchObject({ status: -1, attempts: 1, healthy: true });
      expect(result.message).toContain(`The proxy ${squid.authority} refused the way to coordinator.invalid`);
      expect(result.message).toContain("407 Proxy Authentication Required");
      expect(JSON.stringify([result, test.logger.lines])).not.toContain("wrong-secret");
    }
  });
});

/** Seconds until the kernel probes a connection to a port of this machine. */
function keepaliveTimer(port: number): number | undefined {
  const remote = `0100007F:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  for (const line of readFileSync("/proc/net/tcp", "utf8").split("\n")) {
    const [, , to, , , timer = ""] = line.trim().split(/\s+/);
    const [kind, ticks = ""] = timer.split(":");
    if (to === remote && kind === "02") return Number.parseInt(ticks, 16) / 100;
  }
  return undefined;
}
