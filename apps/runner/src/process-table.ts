import { readdir, readFile } from "node:fs/promises";
import { readFileSync } from "node:fs";

/**
 * What the system knows of a process.
 *
 * @see https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
 */
export interface ProcessStatus {
  readonly id: number;
  readonly groupId: number;
  /** Ended, but nobody has taken notice. */
  readonly isZombie: boolean;
  /** In ticks since the machine was started. With the process id it names a process for good. */
  readonly startTime: string;
}

/** Undefined when there is no such process, and on systems that do not tell. */
export async function processStatus(id: number): Promise<ProcessStatus | undefined> {
  return parse(id, await readIfThere(`/proc/${id}/stat`));
}

/** The same for a process that was started this moment, before anything else happens. */
export function processStatusNow(id: number): ProcessStatus | undefined {
  try {
    return parse(id, readFileSync(`/proc/${id}/stat`, "latin1"));
  } catch {
    // Ended already, or a system that does not tell.
    return undefined;
  }
}

/** All processes that have not ended of a group. */
export async function membersOfGroup(groupId: number): Promise<readonly ProcessStatus[]> {
  const names = await readdir("/proc").catch(() => []);
  const all = await Promise.all(names.filter((name) => /^\d+$/.test(name)).map((name) => processStatus(Number(name))));
  return all.flatMap((status) => (status?.groupId === groupId && !status.isZombie ? [status] : []));
}

/** The environment with which a process was started, as `NAME=value`; empty where this user may not see it. */
export async function processEnvironment(id: number): Promise<readonly string[]> {
  const text = await readFile(`/proc/${id}/environ`, "utf8").catch(() => "");
  return text.split("\0");
}

/** Names the time since the machine was started; `-` on systems that do not tell. */
export async function bootId(): Promise<string> {
  const text = await readFile("/proc/sys/kernel/random/boot_id", "latin1").catch(() => "-");
  return text.trim();
}

function parse(id: number, text: string | undefined): ProcessStatus | undefined {
  if (text === undefined) return undefined;
  // The name of the program, in parentheses, may hold spaces and parentheses itself. The third field is the first after it.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const startTime = fields[22 - 3];
  if (startTime === undefined) return undefined;
  return { id, groupId: Number(fields[5 - 3]), isZombie: fields[0] === "Z", startTime };
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "latin1");
  } catch (error) {
    // A process may also end between opening and reading what the system says of it.
    if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ESRCH"))
      return undefined;
    throw error;
  }
}
