import { once } from "node:events";
import { createServer } from "node:http";
import type { IncomingMessage, RequestListener, Server, ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";

import type { TestCertificates } from "./certificates.ts";

/** A server that requests are meant for. */
export interface Target extends AsyncDisposable {
  readonly origin: string;
  readonly port: number;
  /** First line and `Host` of each request, in order of arrival. */
  readonly requests: readonly string[];
  /** Connections that were made so far. */
  connections(): number;
  /** Connections that are open. */
  openConnections(): number;
}

export interface TargetOptions {
  /** Serves TLS. @default plain HTTP */
  readonly tls?: TestCertificates;
  /** @default 200 with the text "ok" */
  readonly answer?: RequestListener;
}

/** Starts a server on 127.0.0.1. */
export async function startTarget({ tls, answer = ok }: TargetOptions = {}): Promise<Target> {
  const requests: string[] = [];
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    requests.push(`${request.method} ${request.url} ${request.headers.host}`);
    answer(request, response);
  };
  const server: Server =
    tls === undefined ? createServer(listener) : createTlsServer({ key: tls.key, cert: tls.cert }, listener);
  const sockets = new Set<Socket>();
  let connections = 0;
  server.on(tls === undefined ? "connection" : "secureConnection", (socket: Socket) => {
    connections += 1;
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    origin: tls === undefined ? `http://127.0.0.1:${port}` : `https://localhost:${port}`,
    port,
    requests,
    connections: () => connections,
    openConnections: () => sockets.size,
    async [Symbol.asyncDispose]() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, "close");
    },
  };
}

function ok(request: IncomingMessage, response: ServerResponse): void {
  request.resume();
  request.once("end", () => response.end("ok"));
}
