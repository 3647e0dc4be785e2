import { execFile } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { createServer as createHttpServer } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { makeCertificateFolder } from "@fleetfoot-tooling/systems";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DockerConfigurationError, EngineUnreachableError } from "../errors.ts";
import { parseEngineAddress } from "./address.ts";
import type { EngineOptions } from "./address.ts";
import { openEngine } from "./engine.ts";
import { unreachable } from "./unreachable.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "unreachable-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** What a call says, short or as a stream. */
async function failures(options: EngineOptions): Promise<readonly unknown[]> {
  const client = await openEngine(options);
  const get = { what: "list containers", method: "GET", path: "/containers/json" } as const;
  const calls = [client.call("tell its version", (docker) => docker.version()), client.open(get), client.upgrade(get)];
  const results = await Promise.allSettled(calls);
  client.close();
  return results.map((result) => (result.status === "rejected" ? result.reason : result.value));
}

function failure(retryable: boolean, text: RegExp): unknown {
  return expect.objectContaining({
    name: "EngineUnreachableError",
    retryable,
    message: expect.stringMatching(text) as unknown,
  });
}

async function listening(server: Server, ...where: readonly [string] | readonly [number, string]): Promise<void> {
  if (where.length === 1) server.listen(where[0]);
  else server.listen(where[0], where[1]);
  await once(server, "listening");
}

describe("a socket", () => {
  it("that is not there is named, with how to start Docker and where to say another address", async () => {
    const path = join(folder, "missing.sock");
    const text =
      /missing\.sock: connect ENOENT .*there is no socket .*missing\.sock: .*systemctl start docker.*DOCKER_HOST/;
    for (const found of await failures({ host: `unix://${path}` })) expect(found).toEqual(failure(true, text));
  });

  it("that nobody listens at any longer is named", async () => {
    const server = createHttpServer();
    const [first, left] = [join(folder, "first.sock"), join(folder, "left.sock")];
    await listening(server, first);
    await rename(first, left);
    server.close();
    const text = /nobody listens at the socket .*left\.sock/;
    for (const found of await failures({ host: `unix://${left}` })) expect(found).toEqual(failure(true, text));
  });

  it("that the user may not use is named, with the group of Docker, and not tried again", async () => {
    const server = createHttpServer();
    const path = join(folder, "closed.sock");
    await listening(server, path);
    await chmod(path, 0o000);
    const [first] = await failuresWithoutRights(path);
    expect(first).toEqual(failure(false, /closed\.sock: .*EACCES.*may not use the socket .*group, usually docker/));
    server.close();
  });
});

/** Root may use every socket, so this is done in a process that may not. */
async function failuresWithoutRights(path: string): Promise<readonly unknown[]> {
  const program = `
    import { openEngine } from ${JSON.stringify(new URL("engine.ts", import.meta.url).href)};
    const client = await openEngine({ host: ${JSON.stringify(`unix://${path}`)} });
    const error = await client.call("tell its version", (docker) => docker.version()).catch((reason) => reason);
    console.log(JSON.stringify([{ name: error.name, retryable: error.retryable, message: error.message }]));
    client.close();`;
  const node = [process.execPath, "--no-warnings", "--input-type=module", "-e", program];
  const command = process.getuid?.() === 0 ? ["setpriv", "--bounding-set=-dac_override", ...node] : node;
  const [file = "", ...parts] = command;
  const { stdout } = await promisify(execFile)(file, parts, { env: {} });
  return JSON.parse(stdout) as readonly unknown[];
}

describe("an engine with TLS", () => {
  const setUp = async (names?: string): Promise<{ readonly path: string; readonly server: Server }> => {
    await using certificates = await makeCertificateFolder();
    const authority = await certificates.makeAuthority("engine");
    const [own, client] = [await authority.issue(names), await authority.issue()];
    const path = await mkdtemp(join(folder, "tls-"));
    await writeFile(join(path, "ca.pem"), authority.certificate);
    await writeFile(join(path, "cert.pem"), client.certificate);
    await writeFile(join(path, "key.pem"), client.key);
    const server = createHttpsServer({ cert: own.certificate, key: own.key });
    await listening(server, 0, "127.0.0.1");
    return { path, server };
  };
  const hostOf = (server: Server): string => `tcp://127.0.0.1:${(server.address() as AddressInfo).port}`;

  it("whose authority is another one than that of ca.pem is told so, and not tried again", async () => {
    const [one, other] = [await setUp(), await setUp()];
    const found = await failures({ host: hostOf(one.server), tlsVerify: true, tlsCertificatePath: other.path });
    for (const error of found) expect(error).toEqual(failure(false, /ca\.pem of tls_cert_path is not the authority/));
    one.server.close();
    other.server.close();
  });

  it("whose certificate is for other names is told so", async () => {
    const { path, server } = await setUp("DNS:engine.example.com");
    const found = await failures({ host: hostOf(server), tlsVerify: true, tlsCertificatePath: path });
    for (const error of found) expect(error).toEqual(failure(false, /its certificate is for other names/));
    server.close();
  });

  it("is not looked for at a port that speaks none", async () => {
    const { path, server } = await setUp();
    const plain = createHttpServer();
    await listening(plain, 0, "127.0.0.1");
    const found = await failures({ host: hostOf(plain), tlsVerify: true, tlsCertificatePath: path });
    for (const error of found) expect(error).toEqual(failure(false, /it speaks no TLS: name the port that does/));
    plain.close();
    server.close();
  });

  it("is not asked with files that are no certificates", async () => {
    const { path, server } = await setUp();
    server.close();
    const open = (): Promise<unknown> =>
      openEngine({ host: "tcp://127.0.0.1:1", tlsVerify: true, tlsCertificatePath: path });
    await writeFile(join(path, "key.pem"), "no key");
    await expect(open()).rejects.toThrow(/cert\.pem and key\.pem in .* are no certificate with its key/);
    await expect(open()).rejects.toBeInstanceOf(DockerConfigurationError);
  });
});

it.each([
  ["ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED", false, /does not accept cert\.pem/],
  ["CERT_HAS_EXPIRED", false, /not valid today/],
  ["ECONNREFUSED", true, /is it running, and is its address right/],
])("tells for %s over a network whether it may pass, and what to do", (code, retryable, text) => {
  const address = parseEngineAddress({ host: "tcp://engine.example.com", tlsVerify: true });
  const error = unreachable(address, Object.assign(new Error("x"), { code }));
  expect(error).toBeInstanceOf(EngineUnreachableError);
  expect(error).toEqual(failure(retryable, text));
});
