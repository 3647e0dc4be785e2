import { once } from "node:events";
import { connect, createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";

/** What becomes of a connection: nothing goes through it any more, or it breaks. */
export type Fault = "break" | "hang";

/** Where in a connection a fault comes. */
export interface PlannedFault {
  /** Found in what the client sends: the request that is meant. */
  readonly request: RegExp;
  /**
   * `request`: after so many bytes from there on have gone to the server. `answer`: after so many bytes of what the server sends from then on; 0
   * keeps all of the answer to a request that the server got as a whole.
   */
  readonly within: "answer" | "request";
  /** @default 0 */
  readonly afterBytes?: number;
  readonly fault: Fault;
}

/** A way to a server that has faults. */
export interface FaultyForwarder extends AsyncDisposable {
  /** Host and port of the way. */
  readonly address: string;
  /** Faults to come, each for one connection; the first one that fits is taken and is over. */
  readonly planned: PlannedFault[];
  /** Resolves when the next fault has happened. */
  nextFault(): Promise<void>;
}

/** Forwards connections to a server on this host, as they come, but for what is planned. */
export async function startFaultyForwarder(target: string): Promise<FaultyForwarder> {
  const { hostname, port } = new URL(target);
  const planned: PlannedFault[] = [];
  const open = new Set<Socket>();
  let happened = Promise.withResolvers<void>();

  function meet(client: Socket, server: Socket, fault: Fault): void {
    client.unpipe(server).removeAllListeners("data");
    server.removeAllListeners("data");
    if (fault === "hang") {
      client.pause();
      server.pause();
    } else {
      client.destroy();
      server.destroy();
    }
    happened.resolve();
    happened = Promise.withResolvers<void>();
  }

  const forwarder = createServer((client) => {
    const server = connect(Number(port), hostname);
    for (const socket of [client, server]) {
      open.add(socket);
      socket.on("error", () => {}).on("close", () => open.delete(socket));
    }
    client.on("close", () => server.destroy());
    server.on("close", () => client.destroy());
    let current: { readonly plan: PlannedFault; left: number } | undefined;
    const pass = (from: Socket, to: Socket, chunk: Buffer): void => {
      if (to.write(chunk)) return;
      from.pause();
      to.once("drain", () => from.resume());
    };
    client.on("data", (chunk) => {
      const text = chunk.toString("latin1");
      const index = planned.findIndex(({ request }) => request.test(text));
      const [plan] = index < 0 ? [] : planned.splice(index, 1);
      if (plan !== undefined) current = { plan, left: plan.afterBytes ?? 0 };
      if (current?.plan.within !== "request") return pass(client, server, chunk);
      const passed = chunk.subarray(0, current.left);
      current.left -= passed.byteLength;
      if (passed.byteLength > 0) pass(client, server, passed);
      if (passed.byteLength < chunk.byteLength) meet(client, server, current.plan.fault);
    });
    server.on("data", (chunk) => {
      if (current?.plan.within !== "answer") return pass(server, client, chunk);
      const passed = chunk.subarray(0, current.left);
      current.left -= passed.byteLength;
      if (passed.byteLength > 0) pass(server, client, passed);
      if (passed.byteLength < chunk.byteLength) meet(client, server, current.plan.fault);
    });
  });
  forwarder.listen(0, "127.0.0.1");
  await once(forwarder, "listening");
  return {
    address: `127.0.0.1:${(forwarder.address() as AddressInfo).port}`,
    planned,
    nextFault: () => happened.promise,
    async [Symbol.asyncDispose]() {
      const closed = once(forwarder, "close");
      forwarder.close();
      for (const socket of open) socket.destroy();
      await closed;
    },
  };
}
