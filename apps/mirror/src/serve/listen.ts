import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { RequestListener, Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { Server as TlsServer } from "node:https";
import { UsageError } from "../errors.ts";
import { formatAddress } from "../settings/addresses.ts";
import type { ListenAddress } from "../settings/addresses.ts";

/** Files of a certificate chain and its key. */
export interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

/** A server that has begun to listen. */
export interface Listening {
  readonly server: Server;
  readonly address: ListenAddress;
  /** Reads the certificate again; connections that are open keep the old one. */
  reloadTls(): Promise<void>;
}

/** Lets a server take requests, with or without those of proxy clients. */
export interface ProxyAttachment {
  attach(server: Server, listener: RequestListener): void;
}

const noProxy: ProxyAttachment = {
  attach(server, listener) {
    // A push is refused before its body is asked for.
    server.on("request", listener).on("checkContinue", listener);
    server.on("connect", (_request, socket) => {
      socket.on("error", () => socket.destroy());
      const text = "fleetfoot-mirror: CONNECT mode is off (connect.enabled)";
      const head = `HTTP/1.1 405 ${text}\r\nallow: GET, HEAD\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`;
      socket.end(head, () => socket.destroy());
    });
  },
};

/**
 * Listens on an address.
 *
 * @throws {UsageError} the address is taken or not this machine's, or the certificate cannot be used
 */
export async function listen(
  address: ListenAddress,
  listener: RequestListener,
  tls: TlsFiles | undefined,
  proxy: ProxyAttachment = noProxy,
): Promise<Listening> {
  const server = tls === undefined ? createServer() : await createSecure(tls);
  // Longer than clients and load balancers keep idle connections, so that none of them meets a closing one.
  server.keepAliveTimeout = 75_000;
  server.headersTimeout = 80_000;
  proxy.attach(server, listener);
  server.listen({ port: address.port, ...(address.host === undefined ? {} : { host: address.host }) });
  try {
    await once(server, "listening");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
    const causes: Readonly<Record<string, string>> = {
      EADDRINUSE: "it is taken by another program",
      EADDRNOTAVAIL: "it is no address of this machine",
      EACCES: "this user may not listen there",
      ENOTFOUND: "there is no such host",
    };
    throw new UsageError(`cannot listen on ${formatAddress(address)}: ${causes[code] ?? code} (${code})`, {
      cause: error,
    });
  }
  const bound = server.address();
  const port = typeof bound === "object" && bound !== null ? bound.port : address.port;
  return {
    server,
    address: { ...address, port },
    async reloadTls() {
      if (tls !== undefined) (server as TlsServer).setSecureContext(await readTls(tls));
    },
  };
}

/** Accepts nothing new, and waits until everything is sent, or the signal is aborted. */
export async function closeGracefully(server: Server, signal: AbortSignal): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  const onAbort = (): void => server.closeAllConnections();
  if (signal.aborted) onAbort();
  else signal.addEventListener("abort", onAbort, { once: true });
  // Connections become idle one by one.
  const idle = setInterval(() => server.closeIdleConnections(), 100);
  await closed;
  clearInterval(idle);
  signal.removeEventListener("abort", onAbort);
}

async function createSecure(tls: TlsFiles): Promise<Server> {
  const files = await readTls(tls);
  try {
    return createTlsServer({ ...files, minVersion: "TLSv1.2" });
  } catch (error) {
    throw unusable(tls, error);
  }
}

async function readTls(tls: TlsFiles): Promise<{ readonly cert: Buffer; readonly key: Buffer }> {
  try {
    return { cert: await readFile(tls.certFile), key: await readFile(tls.keyFile) };
  } catch (error) {
    throw unusable(tls, error);
  }
}

function unusable({ certFile, keyFile }: TlsFiles, error: unknown): UsageError {
  const reason = error instanceof Error ? error.message : String(error);
  return new UsageError(`the certificate ${certFile} with the key ${keyFile} cannot be used: ${reason}`, {
    cause: error,
  });
}
