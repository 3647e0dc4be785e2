import type { Socket } from "node:net";

import { ProxyConnectionError, ProxyRefusedError } from "../errors.ts";
import type { ProxyServer } from "../proxy-server.ts";
import { readConnectAnswer } from "./connect-answer.ts";
import { connectToProxy, PROXY_TIMEOUT_MS, TimeLimit, within } from "./connect-to-proxy.ts";
import type { ProxyConnectionOptions } from "./connect-to-proxy.ts";

/**
 * Asks a proxy for a tunnel.
 *
 * The request has no `Connection: close`: a proxy that authenticates connections, as NTLM does, would start over each time.
 *
 * @param target - `host:port`, IPv6 in brackets
 * @returns the socket, whose bytes now go to and from the target
 * @throws {ProxyConnectionError} the proxy cannot be reached or does not answer
 * @throws {ProxyRefusedError} the proxy answered with something else than 2xx
 */
export async function openTunnel(
  server: ProxyServer,
  target: string,
  options: ProxyConnectionOptions,
): Promise<Socket> {
  const socket = await connectToProxy(server, target, options);
  const { proxyTimeoutMs = PROXY_TIMEOUT_MS, signal } = options;
  const facts = { proxy: server.address, target };
  try {
    return await within(socket, proxyTimeoutMs, signal, async (stop) => {
      socket.write(connectRequest(target, server.authorization()));
      const { statusCode, authenticationSchemes } = await readConnectAnswer(socket, stop);
      if (statusCode < 300) return socket;
      throw new ProxyRefusedError(facts, statusCode, authenticationSchemes);
    });
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof ProxyRefusedError) throw error;
    const problem = error instanceof TimeLimit ? `did not answer within ${proxyTimeoutMs} ms` : "broke off";
    throw new ProxyConnectionError(facts, problem, { cause: error });
  }
}

function connectRequest(target: string, authorization: string | undefined): string {
  const lines = [
    `CONNECT ${target} HTTP/1.1`,
    `Host: ${target}`,
    "Proxy-Connection: Keep-Alive",
    ...(authorization === undefined ? [] : [`Proxy-Authorization: ${authorization}`]),
  ];
  return `${lines.join("\r\n")}\r\n\r\n`;
}
