import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";

/** Passes connections on to a server of this machine, and counts what goes through. */
export interface CountingForwarder extends AsyncDisposable {
  /** `host:port` that stands for the server's. */
  readonly address: string;
  /** Bytes to the server and from it since the last call, headers included. */
  takeCounts(): { readonly up: number; readonly down: number };
}

export async function startCountingForwarder(host: string, port: number): Promise<CountingForwarder> {
  const counts = { up: 0, down: 0 };
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(port, host);
    const link = (from: Socket, to: Socket, direction: "up" | "down"): void => {
      sockets.add(from);
      from.on("data", (piece: Buffer) => {
        counts[direction] += piece.byteLength;
      });
      // One side that breaks off ends the other; who asked sees that.
      from.on("error", () => to.destroy());
      from.on("close", () => sockets.delete(from));
      from.pipe(to);
    };
    link(client, upstream, "up");
    link(upstream, client, "down");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    takeCounts() {
      const taken = { ...counts };
      counts.up = 0;
      counts.down = 0;
      return taken;
    },
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
