import { Agent } from "node:http";
import type { ClientRequestArgs } from "node:http";
import { connect as connectPlain, isIP } from "node:net";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { connect as connectTls } from "node:tls";

import type { EngineAddress, EngineCertificates } from "./address.ts";

export interface SocketOptions {
  readonly address: EngineAddress;
  readonly certificates: EngineCertificates | undefined;
  /** Idle time after which the kernel starts to probe; 0 switches the probes off. */
  readonly keepAliveMs: number;
  /** Limit for a connection to be made, TLS included. */
  readonly connectTimeoutMs: number;
  /** Takes the lines that decrypt a capture of the connections. */
  readonly onKeyLog?: ((line: Buffer) => void) | undefined;
}

/**
 * Opens every connection to the engine, also those that become the stream of a container.
 *
 * Firewalls forget flows that are idle, without telling anybody; probes keep them alive. Node asks for probes neither on fresh
 * TLS connections nor on those without a pool, so each socket is asked here.
 *
 * @see coordinator-protocol 14
 */
export class EngineAgent extends Agent {
  readonly #options: SocketOptions;

  constructor(options: SocketOptions) {
    // A local socket is opened faster than a pool is asked.
    super({ keepAlive: !("socketPath" in options.address.place) });
    this.#options = options;
  }

  override createConnection(
    _: ClientRequestArgs,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): Duplex | null | undefined {
    const socket = openSocket(this.#options);
    if (callback === undefined) return socket;
    callback(null, socket);
    return undefined;
  }
}

function openSocket(options: SocketOptions): Socket {
  const { address, keepAliveMs, connectTimeoutMs } = options;
  const { place } = address;
  if ("socketPath" in place) return connectPlain(place.socketPath);
  const socket = address.tls
    ? openTls(options, place)
    : connectPlain({ host: place.hostName, port: place.port, noDelay: true });
  const ready = address.tls ? "secureConnect" : "connect";
  const timer = setTimeout(() => {
    socket.destroy(new Error(`no connection after ${connectTimeoutMs} ms`));
  }, connectTimeoutMs);
  socket.once("close", () => clearTimeout(timer));
  socket.once(ready, () => clearTimeout(timer));
  socket.once("connect", () => {
    if (keepAliveMs > 0) socket.setKeepAlive(true, keepAliveMs);
  });
  return socket;
}

function openTls(
  { certificates, onKeyLog }: SocketOptions,
  place: { readonly hostName: string; readonly port: number },
): Socket {
  const socket = connectTls({
    host: place.hostName,
    port: place.port,
    minVersion: "TLSv1.2",
    // Nobody but the engine's own authority is trusted.
    ...certificates,
    ...(isIP(place.hostName) === 0 ? { servername: place.hostName } : {}),
  });
  socket.setNoDelay(true);
  if (onKeyLog !== undefined) socket.on("keylog", onKeyLog);
  return socket;
}
