import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { startLocalCoordinator } from "./server.ts";

let folder = "";
let server = { key: "", certificate: "" };
let client = { key: "", certificate: "" };

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "fleetfoot-tls-"));
  [server, client] = [await selfSigned("server"), await selfSigned("client")];
});
afterAll(() => rm(folder, { recursive: true }));

async function selfSigned(name: string): Promise<{ readonly key: string; readonly certificate: string }> {
  const [key, certificate] = [join(folder, `${name}.key`), join(folder, `${name}.crt`)];
  const words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2".split(" ");
  const subject = ["-subj", `/CN=${name}`, "-addext", "subjectAltName=IP:127.0.0.1"];
  await promisify(execFile)("openssl", [...words, ...subject, "-keyout", key, "-out", certificate]);
  return { key: await readFile(key, "utf8"), certificate: await readFile(certificate, "utf8") };
}

function verify(
  url: string,
  token: string,
  options: { readonly key?: string; readonly cert?: string },
): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const outgoing = request(`${url}/api/v4/runners/verify`, {
    method: "POST",
    ca: server.certificate,
    agent: false,
    ...options,
  });
  outgoing.on("error", reject);
  outgoing.on("response", (incoming) => {
    incoming.resume();
    resolve(incoming.statusCode ?? 0);
  });
  outgoing.end(JSON.stringify({ token }));
  return promise;
}

describe("a coordinator with a certificate", () => {
  it("serves clients that trust it, in TLS 1.2 or later, with an address of https", async () => {
    await using coordinator = await startLocalCoordinator({ tls: server });
    const { token } = coordinator.createRunner();
    expect(coordinator.url).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/);
    expect(await verify(coordinator.url, token, {})).toBe(200);
    expect(await verify(coordinator.url, "glrt-wrong", {})).toBe(403);
    await expect(fetch(`${coordinator.url}/api/v4/runners`)).rejects.toMatchObject({
      cause: { code: "DEPTH_ZERO_SELF_SIGNED_CERT" },
    });
    const old = connect({ port: coordinator.port, ca: server.certificate, minVersion: "TLSv1", maxVersion: "TLSv1.1" });
    const { promise: refused, resolve } = Promise.withResolvers<unknown>();
    old.on("error", resolve);
    expect(await refused).toMatchObject({ code: expect.stringMatching(/^ERR_SSL_/) as string });
  });

  it("asks clients for a certificate of its authority where it is told to", async () => {
    await using coordinator = await startLocalCoordinator({ tls: { ...server, clientAuthority: client.certificate } });
    const { token } = coordinator.createRunner();
    expect(await verify(coordinator.url, token, { key: client.key, cert: client.certificate })).toBe(200);
    await expect(verify(coordinator.url, token, {})).rejects.toThrow();
    await expect(verify(coordinator.url, token, { key: server.key, cert: server.certificate })).rejects.toThrow();
  });

  it("says that a certificate cannot be used", async () => {
    await expect(startLocalCoordinator({ tls: { key: "none", certificate: "none" } })).rejects.toMatchObject({
      code: "invalid-options",
    });
  });
});
