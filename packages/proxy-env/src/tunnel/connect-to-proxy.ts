import { once } from "node:events";
import { connect as connectTcp, isIP } from "node:net";
import type { Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { SecureContextOptions } from "node:tls";

import { ProxyConnectionError, UnsupportedProxyError } from "../errors.ts";
import type { ProxyServer } from "../proxy-server.ts";

/** How connections to a proxy are made. */
export interface ProxyConnectionOptions {
  /** TLS to an `https:` proxy: its `ca`, for instance. The target's TLS is another matter. @default Node's own trust */
  readonly proxyTls?: SecureContextOptions;
  /** Longest time until a proxy is connected, TLS included, and again until it has answered. @default 30000 */
  readonly proxyTimeoutMs?: number;
  /** Gives up what is being connected. @default never */
  readonly signal?: AbortSignal;
}

export const PROXY_TIMEOUT_MS = 30_000;
const KEEPALIVE_DELAY_MS = 30_000;

/**
 * Opens a connection to a proxy, with TLS when it is an `https:` one.
 *
 * @param target - `host:port` that the connection is for
 * @throws {ProxyConnectionError} it cannot be reached, or not in time
 * @throws {UnsupportedProxyError} a SOCKS proxy
 */
export async function connectToProxy(
  server: ProxyServer,
  target: string,
  options: ProxyConnectionOptions,
): Promise<Socket> {
  const { proxyTls, proxyTimeoutMs = PROXY_TIMEOUT_MS, signal } = options;
  signal?.throwIfAborted();
  if (server.protocol !== "http:" && server.protocol !== "https:") throw new UnsupportedProxyError(server.address);
  const secure = server.protocol === "https:";
  const { hostname: host, port } = server;
  const tcp = { host, port, keepAlive: true, keepAliveInitialDelay: KEEPALIVE_DELAY_MS, noDelay: true };
  const socket = secure
    ? connectTls({
        minVersion: "TLSv1.2",
        ...(isIP(host) === 0 ? { servername: host } : {}),
        ...proxyTls,
        ...tcp,
        ALPNProtocols: ["http/1.1"],
      })
    : connectTcp(tcp);
  try {
    await within(socket, proxyTimeoutMs, signal, (stop) =>
      once(socket, secure ? "secureConnect" : "connect", { signal: stop }),
    );
    return socket;
  } catch (error) {
    signal?.throwIfAborted();
    const problem = error instanceof TimeLimit ? `is not connected after ${proxyTimeoutMs} ms` : "cannot be connected";
    throw new ProxyConnectionError({ proxy: server.address, target }, problem, { cause: error });
  }
}

/** A step took too long. */
export class TimeLimit extends Error {
  override readonly name = "TimeLimit";
}

/** Lets one step happen on a socket; when it fails, takes too long or is given up, the socket is destroyed. */
export async function within<Value>(
  socket: Socket,
  timeoutMs: number,
  signal: AbortSignal | undefined,
  step: (stop: AbortSignal) => Promise<Value>,
): Promise<Value> {
  const controller = new AbortController();
  const onAbort = (): void => controller.abort(signal?.reason);
  const timer = setTimeout(() => controller.abort(new TimeLimit(`no end after ${timeoutMs} ms`)), timeoutMs);
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    return await step(controller.signal);
  } catch (error) {
    // Destroying may bring another error, which nobody waits for.
    socket.on("error", ignore);
    socket.destroy();
    throw controller.signal.aborted ? controller.signal.reason : error;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  }
}

function ignore(): void {
  // The first error has been reported.
}
