import { readFile, readlink } from "node:fs/promises";

/** What the file of a lock says of its holder. */
export interface Mark {
  /** Means something within its namespace only. */
  readonly processId: number;
  /** Tells it from a later process that was given the same number. */
  readonly startTime: string;
  /** Names the time since its machine was started. */
  readonly bootId: string | undefined;
  /** Names the container, more or less, that gives it its number. */
  readonly processNamespace: string | undefined;
  /** Whether the kernel knows of the lock, and forgets it when the process dies. */
  readonly isKernelLocked: boolean;
}

/** Of this process. */
export async function ownMark(): Promise<Omit<Mark, "isKernelLocked">> {
  const [startTime, bootId, processNamespace] = await Promise.all([
    startTimeOf(process.pid),
    readFile("/proc/sys/kernel/random/boot_id", "latin1").then(
      (text) => text.trim(),
      () => unknown,
    ),
    readlink("/proc/self/ns/pid").catch(() => unknown),
  ]);
  return { processId: process.pid, startTime: startTime ?? unknown, bootId, processNamespace };
}

export function writeMark({ bootId, isKernelLocked, processId, processNamespace, startTime }: Mark): string {
  return `${processId} ${startTime} ${bootId} ${processNamespace} ${isKernelLocked ? kernel : unknown}\n`;
}

/** Undefined for anything else, such as the empty file that a full disk leaves. Number and time alone are of this machine. */
export function readMark(text: string): Mark | undefined {
  const match = /^([1-9]\d*) (\S+)(?: (\S+) (\S+) (\S+))?\n$/.exec(text);
  if (match === null) return undefined;
  const [, processId, startTime = unknown, bootId, processNamespace, locked] = match;
  return { processId: Number(processId), startTime, bootId, processNamespace, isKernelLocked: locked === kernel };
}

/** Whether two processes see each other by their numbers. */
export function isOfSameNamespace(mark: Mark, own: Omit<Mark, "isKernelLocked">): boolean {
  const { bootId = own.bootId, processNamespace = own.processNamespace } = mark;
  return bootId === own.bootId && processNamespace === own.processNamespace;
}

/** Whether the process of a mark lives. Asked about marks of the own machine and namespace only. */
export async function isRunning({ processId, startTime }: Mark): Promise<boolean> {
  if (!isThere(processId)) return false;
  const actual = await startTimeOf(processId);
  return actual === undefined || startTime === unknown || actual === startTime;
}

const unknown = "-";
const kernel = "kernel";

function isThere(processId: number): boolean {
  try {
    process.kill(processId, 0);
    return true;
  } catch (error) {
    // Another user's process may not be signalled, but it is there.
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}

/** @see https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html */
async function startTimeOf(processId: number): Promise<string | undefined> {
  const text = await readFile(`/proc/${processId}/stat`, "latin1").catch(() => "");
  // The name of the program, in parentheses, may hold spaces and parentheses itself. The third field is the first after it.
  return text.slice(text.lastIndexOf(")") + 2).split(" ")[22 - 3];
}
