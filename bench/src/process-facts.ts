import { readdir, readFile, readlink } from "node:fs/promises";

/** Memory that a process occupies, in megabytes. */
export async function residentMb(processId: number): Promise<number> {
  const status = await readFile(`/proc/${processId}/status`, "utf8");
  return (Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) * 1024) / 1e6;
}

/** How many TCP sockets a process has that are or were connected to a port of this machine. */
export async function openTcpSockets(processId: number, port: number): Promise<number> {
  const [table, own] = await Promise.all([readFile(`/proc/${processId}/net/tcp`, "latin1"), socketsOf(processId)]);
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  // The columns are: number, local address, remote address, state, ... and the inode as the tenth.
  const rows = table.split("\n").map((row) => row.trim().split(/\s+/));
  return rows.filter(([, , remote, , , , , , , inode]) => remote?.endsWith(suffix) && own.has(inode ?? "")).length;
}

async function socketsOf(processId: number): Promise<ReadonlySet<string>> {
  const folder = `/proc/${processId}/fd`;
  const names = await readdir(folder);
  // A file may be closed between the one look and the other.
  const targets = await Promise.all(names.map((name) => readlink(`${folder}/${name}`).catch(() => "")));
  return new Set(targets.flatMap((target) => /^socket:\[(\d+)\]$/.exec(target)?.[1] ?? []));
}
