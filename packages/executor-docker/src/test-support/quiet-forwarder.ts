import { spawn } from "node:child_process";
import { once } from "node:events";

/** A port beside an engine's own, whose connections never send a probe by themselves. */
export interface QuietForwarder extends AsyncDisposable {
  readonly port: number;
}

const PORT = 2_377;

/** Runs in the engine's network. Neither side of it asks for keepalive, whatever client and engine do. */
const PROGRAM = `
const { connect, createServer } = require("node:net");
const [address, port, own] = process.argv.slice(1);
createServer({ allowHalfOpen: true }, (client) => {
  const engine = connect({ host: address, port: Number(port), allowHalfOpen: true });
  client.pipe(engine).pipe(client);
  for (const socket of [client, engine]) {
    socket.on("error", () => {
      client.destroy();
      engine.destroy();
    });
  }
}).listen(Number(own), address, () => console.log("ready"));
`;

/**
 * Stands for an engine of the time before Go's servers probed by themselves: today's engine probes each connection after 15 s, and
 * so keeps it alive through every firewall with more patience than that, also for a client without keepalive.
 */
export async function startQuietForwarder(engine: {
  readonly processId: number;
  readonly address: string;
}): Promise<QuietForwarder> {
  const inside = [process.execPath, "-e", PROGRAM, engine.address, "2376", String(PORT)];
  const child = spawn("nsenter", [`--net=/proc/${engine.processId}/ns/net`, ...inside], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(child.stdout, "data");
  return {
    port: PORT,
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGKILL");
      await once(child, "close");
    },
  };
}
