import { once } from "node:events";
import { connect, createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";

import type { TestCertificates } from "./certificates.ts";

/** A proxy that does to CONNECT what a test wants, for faults that no real proxy can be brought to. */
export interface ConnectProxy extends AsyncDisposable {
  /** `host:port` */
  readonly authority: string;
  /** The heads of the requests that came in. */
  readonly heads: readonly string[];
  openConnections(): number;
}

export interface ConnectProxyOptions {
  /** Talks TLS. @default plain */
  readonly tls?: TestCertificates;
  /** Called with each request's head. @default answers 200 and joins the connection to the target */
  readonly onConnect?: (socket: Socket, head: string) => void;
}

/** Starts a proxy on 127.0.0.1 that knows tunnels only. */
export async function startConnectProxy({ tls, onConnect = join }: ConnectProxyOptions = {}): Promise<ConnectProxy> {
  const heads: string[] = [];
  const sockets = new Set<Socket>();
  const serve = (socket: Socket): void => {
    sockets.add(socket);
    socket.on("error", ignore);
    socket.once("close", () => sockets.delete(socket));
    // A client sends nothing behind the head before it has an answer, so one piece holds all of it.
    socket.once("data", (bytes) => {
      heads.push(bytes.toString("latin1"));
      onConnect(socket, heads.at(-1) ?? "");
    });
  };
  const server: Server =
    tls === undefined ? createServer(serve) : createTlsServer({ key: tls.key, cert: tls.cert }, serve);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    authority: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    heads,
    openConnections: () => sockets.size,
    async [Symbol.asyncDispose]() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, "close");
    },
  };
}

/** Joins a connection to the target that its CONNECT names; every name is this machine. */
export function join(socket: Socket, head: string, answer = "HTTP/1.1 200 OK\r\n\r\n"): void {
  const port = Number(/^CONNECT \S+:(\d+) /.exec(head)?.[1]);
  const onward = connect({ host: "127.0.0.1", port }, () => {
    socket.write(answer);
    socket.pipe(onward).pipe(socket);
  });
  onward.on("error", () => socket.destroy());
  socket.once("close", () => onward.destroy());
}

function ignore(): void {
  // The client notices.
}
