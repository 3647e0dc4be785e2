import { once } from "node:events";
import { readdir, readFile, readlink } from "node:fs/promises";
import { connect, createServer } from "node:net";
import type { AddressInfo } from "node:net";

/** A port that was free a moment ago. Another process may take it first: whoever starts a program on it tries again. */
export async function findFreePort(host: string): Promise<number> {
  const server = createServer().listen(0, host);
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/**
 * Whether the process itself listens on the port, and not somebody else who took it first and answers health checks
 * just as well. Where the kernel has no such lists (not Linux), the answer is yes.
 */
export async function listensOn(processId: number, port: number): Promise<boolean> {
  if (process.platform !== "linux") return true;
  const listeners = new Set<string>();
  for (const table of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    for (const line of (await readFile(table, "utf8")).split("\n").slice(1)) {
      const [, local = "", , state, , , , , , inode] = line.trim().split(/\s+/);
      const localPort = Number.parseInt(local.slice(local.lastIndexOf(":") + 1), 16);
      // 0A is LISTEN, see include/net/tcp_states.h of Linux.
      if (state === "0A" && localPort === port && inode !== undefined) listeners.add(`socket:[${inode}]`);
    }
  }
  const folder = `/proc/${processId}/fd`;
  const targets = await Promise.allSettled((await readdir(folder)).map((name) => readlink(`${folder}/${name}`)));
  return targets.some((target) => target.status === "fulfilled" && listeners.has(target.value));
}

/** Whether a TCP connection is accepted, for servers that answer a stranger in no way that `fetch` takes; rejects if not. */
export async function acceptsConnections(host: string, port: number): Promise<boolean> {
  const socket = connect({ host, port });
  try {
    await once(socket, "connect");
    return true;
  } finally {
    socket.destroy();
  }
}
