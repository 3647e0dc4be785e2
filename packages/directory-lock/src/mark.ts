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
  const [fields, bootId, processNamespace] = await Promise.all([
    statOf(process.pid),
    readFile("/proc/sys/kernel/random/boot_id", "latin1").then(
      (text) => text.trim(),
      () => unknown,
    ),
    readlink("/proc/self/ns/pid").catch(() => unknown),
  ]);
  return { processId: process.pid, startTime: fields[startTimeField] ?? unknown, bootId, processNamespace };
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
  const fields = await statOf(processId);
  // It has ended and has nothing open any more; only its parent has not asked how it ended.
  if (fields[stateField] === "Z" || fields[stateField] === "X") return false;
  const actual = fields[startTimeField];
  return actual === undefined || startTime === unknown || actual === startTime;
}

const unknown = "-";
const kernel = "kernel";
const stateField = 0;
const startTimeField = 22 - 3;

function isThere(processId: number): boolean {
  try {
    process.kill(processId, 0);
    return true;
  } catch (error) {
    // Another user's process may not be signalled, but it is there.
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}

/**
 * The fields from the third on, which is the state; none where there are no such files.
 *
 * @see https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
 */
async function statOf(processId: number): Promise<readonly string[]> {
  const text = await readFile(`/proc/${processId}/stat`, "latin1").catch(() => "");
  // The name of the program, in parentheses, may hold spaces and parentheses itself.
  const end = text.lastIndexOf(")");
  return end === -1 ? [] : text.slice(end + 2).split(" ");
}
