import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer } from "node:net";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Stands between the executor and a real engine, and breaks connections on demand. */
export interface CuttableProxy extends AsyncDisposable {
  readonly host: string;
  /** Breaks the connections whose request line fits, without a word. @returns how many */
  cut(requestLine: RegExp): number;
  /** Calls once when such a request comes, before it is passed on. */
  onRequest(requestLine: RegExp, react: () => void): void;
  /** From now on whatever comes is taken, and nothing answered; until it is switched off again. */
  setMute(isMute: boolean): void;
}

export async function startCuttableProxy(socketPath: string): Promise<CuttableProxy> {
  const folder = await mkdtemp(join(tmpdir(), "proxy-"));
  const path = join(folder, "engine.sock");
  const open = new Map<Socket, { line: string; readonly upstream: Socket }>();
  let isMute = false;
  let watched: { readonly line: RegExp; readonly react: () => void } | undefined;
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const upstream = connect({ path: socketPath, allowHalfOpen: true });
    const connection = { line: "", upstream };
    open.set(client, connection);
    client.once("data", (first: Buffer) => {
      [connection.line = ""] = first.toString("latin1").split("\r\n", 1);
      if (watched?.line.test(connection.line) !== true) return;
      const { react } = watched;
      watched = undefined;
      react();
    });
    client.on("data", (piece: Buffer) => isMute || upstream.write(piece)).once("end", () => upstream.end());
    upstream.on("data", (piece: Buffer) => isMute || client.write(piece)).once("end", () => isMute || client.end());
    const close = (): void => {
      open.delete(client);
      client.destroy();
      upstream.destroy();
    };
    for (const socket of [client, upstream]) socket.once("error", close).once("close", close);
  });
  server.listen(path);
  await once(server, "listening");
  return {
    host: `unix://${path}`,
    cut: (requestLine) => {
      const hit = [...open].filter(([, { line }]) => requestLine.test(line));
      for (const [client, { upstream }] of hit) {
        client.destroy();
        upstream.destroy();
      }
      return hit.length;
    },
    onRequest: (line, react) => {
      watched = { line, react };
    },
    setMute: (wanted) => {
      isMute = wanted;
    },
    [Symbol.asyncDispose]: async () => {
      for (const [client, { upstream }] of open) {
        client.destroy();
        upstream.destroy();
      }
      server.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
