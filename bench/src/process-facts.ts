import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";

/** Loaded into a program with `--import`, it measures that program. */
export const WATCH: string = join(import.meta.dirname, "programs/watch-process.ts");

/** What a program under {@link WATCH} knows of itself since it was last asked. */
export interface ProcessFacts {
  readonly delayP99Ms: number;
  readonly delayMaxMs: number;
  readonly residentMb: number;
  readonly peakResidentMb: number;
  /** Heap in use; without what is garbage when the program was started with `--expose-gc`. */
  readonly heapMb: number;
}

export async function askFacts(child: ChildProcess): Promise<ProcessFacts> {
  const answer = once(child, "message");
  child.send("facts");
  const [facts] = (await answer) as [ProcessFacts];
  return facts;
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
