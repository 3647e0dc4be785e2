import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";

import { describe, expect, it } from "vitest";

import { parseProxyUrl } from "../parse-proxy-url.ts";
import type { ProxyServer } from "../proxy-server.ts";
import { startConnectProxy } from "../test-support/connect-proxy.ts";
import { openTunnel } from "./open-tunnel.ts";

const TARGET = "[2001:db8::1]:443";

describe("openTunnel", () => {
  it("asks without Connection: close, with the target in Host, and with the credentials", async () => {
    await using proxy = await startConnectProxy({ onConnect: answering("HTTP/1.1 200 OK\r\n\r\n") });
    const socket = await openTunnel(proxyAt(`user:p%40ss@${proxy.authority}`), TARGET, {});
    socket.destroy();
    const authorization = Buffer.from("user:p@ss").toString("base64");
    expect(proxy.heads).toEqual([
      `CONNECT ${TARGET} HTTP/1.1\r\nHost: ${TARGET}\r\nProxy-Connection: Keep-Alive\r\nProxy-Authorization: Basic ${authorization}\r\n\r\n`,
    ]);
  });

  it("gives back what came with the answer", async () => {
    const answer = "HTTP/1.1 200 Connection established\r\nVia: 1.1 somewhere\r\n\r\nfirst words of the target";
    await using proxy = await startConnectProxy({ onConnect: answering(answer) });
    const socket = await openTunnel(proxyAt(proxy.authority), TARGET, {});
    const [words] = await once(socket, "data");
    expect(String(words)).toBe("first words of the target");
    socket.destroy();
  });

  it.each([
    ["in single bytes", ["HTTP/1.1 200 OK\r\nA: b\r\n\r\n"].flatMap((text) => text.split(""))],
    ["after an interim one", ["HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"]],
    ["with another 2xx", ["HTTP/1.1 204 No Content\r\n\r\n"]],
    ["of HTTP/1.0, with bare line feeds", ["HTTP/1.0 200 OK\nA: b\n\n"]],
    ["without a reason", ["HTTP/1.1 200\r\n\r\n"]],
  ])("takes an answer %s", async (_what, pieces) => {
    const onConnect = async (socket: Socket): Promise<void> => {
      for (const piece of pieces) await new Promise((resolve) => socket.write(piece, resolve));
    };
    await using proxy = await startConnectProxy({ onConnect: (socket) => void onConnect(socket) });
    const socket = await openTunnel(proxyAt(proxy.authority), TARGET, {});
    socket.destroy();
  });

  it.each([
    [
      407,
      'Proxy-Authenticate: NTLM\r\nProxy-Authenticate: Basic realm="a, Digest", Negotiate\r\n',
      ["NTLM", "Basic", "Negotiate"],
      false,
    ],
    [407, 'proxy-authenticate: Digest realm="x", nonce="Basic y", qop=auth\r\n', ["Digest"], false],
    [403, "", [], false],
    [429, "", [], true],
    [502, "", [], true],
    [511, "", [], false],
    [520, "", [], true],
    [302, "Location: http://login.test/\r\n", [], false],
  ])("rejects with the facts of a refusal: %d %j", async (statusCode, fields, authenticationSchemes, retryable) => {
    const onConnect = answering(`HTTP/1.1 ${statusCode} Reason\r\n${fields}\r\n<html>`);
    await using proxy = await startConnectProxy({ onConnect });
    await expect(openTunnel(proxyAt(`u:secret@${proxy.authority}`), TARGET, {})).rejects.toMatchObject({
      code: "proxy-refused",
      statusCode,
      authenticationSchemes,
      retryable,
      proxy: proxy.authority,
      target: TARGET,
      message: expect.not.stringContaining("secret"),
    });
    await expect.poll(() => proxy.openConnections()).toBe(0);
  });

  it.each([
    ["is no HTTP", "SSH-2.0-OpenSSH_9.2\r\n\r\n"],
    ["has too long a head", `HTTP/1.1 200 OK\r\nA: ${"a".repeat(70_000)}`],
  ])("rejects when the answer %s", async (_what, answer) => {
    await using proxy = await startConnectProxy({ onConnect: answering(answer) });
    await expect(openTunnel(proxyAt(proxy.authority), TARGET, {})).rejects.toMatchObject({
      code: "proxy-connection",
      retryable: true,
    });
    await expect.poll(() => proxy.openConnections()).toBe(0);
  });

  it.each([
    ["closes", (socket: Socket) => socket.end()],
    ["resets", (socket: Socket) => socket.resetAndDestroy()],
    ["stops in the middle of its answer", (socket: Socket) => socket.end("HTTP/1.1 200 OK\r\nA:")],
  ])("rejects when the proxy %s", async (_what, onConnect) => {
    await using proxy = await startConnectProxy({ onConnect });
    await expect(openTunnel(proxyAt(proxy.authority), TARGET, {})).rejects.toMatchObject({
      code: "proxy-connection",
      message: expect.stringContaining("broke off"),
    });
  });

  it("gives up a proxy that never answers, and closes the connection", async () => {
    await using proxy = await startConnectProxy({ onConnect: ignore });
    await expect(openTunnel(proxyAt(proxy.authority), TARGET, { proxyTimeoutMs: 50 })).rejects.toMatchObject({
      code: "proxy-connection",
      message: expect.stringContaining("did not answer within 50 ms"),
    });
    await expect.poll(() => proxy.openConnections()).toBe(0);
  });

  it.each(["before it is connected", "while it waits for the answer"])(
    "rejects with the signal's reason %s",
    async (when) => {
      const controller = new AbortController();
      const reason = new Error("no longer wanted");
      const onConnect = (): void => controller.abort(reason);
      await using proxy = await startConnectProxy({ onConnect });
      if (when === "before it is connected") controller.abort(reason);
      await expect(openTunnel(proxyAt(proxy.authority), TARGET, { signal: controller.signal })).rejects.toBe(reason);
      await expect.poll(() => proxy.openConnections()).toBe(0);
    },
  );

  it("PE A47: names a proxy that is down, says that the way is proxied, and shows no credentials", async () => {
    const address = await addressOfNobody();
    const failure = openTunnel(proxyAt(`the-user:the-secret@${address}`), TARGET, {});
    await expect(failure).rejects.toMatchObject({
      code: "proxy-connection",
      retryable: true,
      proxy: address,
      target: TARGET,
      message: expect.stringMatching(/proxied.*127\.0\.0\.1:\d+.*ECONNREFUSED/),
    });
    const error: unknown = await failure.catch((reason: unknown) => reason);
    expect(`${String(error)} ${JSON.stringify(error)}`).not.toMatch(/the-user|the-secret/);
  });

  it("refuses to talk to a SOCKS proxy as if it were an HTTP one", async () => {
    const socks = parseProxyUrl("socks5://127.0.0.1:1", { socks: true }).server;
    await expect(socks && openTunnel(socks, TARGET, {})).rejects.toMatchObject({
      code: "unsupported-proxy",
      retryable: false,
    });
  });
});

function proxyAt(authority: string): ProxyServer {
  const { server } = parseProxyUrl(`http://${authority}`);
  if (server === undefined) throw new Error("not a proxy");
  return server;
}

function answering(answer: string): (socket: Socket) => void {
  return (socket) => void socket.write(answer);
}

/** An address where nobody listens. */
async function addressOfNobody(): Promise<string> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return `127.0.0.1:${port}`;
}

function ignore(): void {
  // It says nothing.
}
