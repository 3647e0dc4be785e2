import { once } from "node:events";
import { connect } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { createServer } from "node:tls";
import type { CertificatePair } from "./certificates.ts";

/** TLS in front of a server that has none. */
export interface TlsFront extends AsyncDisposable {
  /** At 127.0.0.1. */
  readonly port: number;
}

/**
 * Takes TLS off and hands on what is inside, byte by byte.
 *
 * @param endpoint - gives the URL of the server behind, asked for each connection; the path does not matter
 */
export async function startTlsFront(endpoint: () => string, { certificate, key }: CertificatePair): Promise<TlsFront> {
  const sockets = new Set<Socket>();
  const server = createServer({ cert: certificate, key }, (socket) => {
    const { hostname, port } = new URL(endpoint());
    const onward = connect({ host: hostname, port: Number(port) });
    socket.pipe(onward).pipe(socket);
    const end = (): void => {
      socket.destroy();
      onward.destroy();
      sockets.delete(socket);
    };
    sockets.add(socket);
    for (const one of [socket, onward]) one.on("error", end).once("close", end);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, "close");
    },
  };
}
