import { randomUUID } from "node:crypto";
import { link, readFile, rename, rm, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DirectoryInUseError } from "../errors.ts";
import { systemCodeOf } from "./system-error.ts";

/** Makes a directory this process's own. */
export interface DirectoryLock {
  release(): Promise<void>;
}

/**
 * Takes a directory by a file in it that names a process and the time of its start. The file appears as a whole or not at all. One that a
 * dead process left is taken over; the time tells the holder from a later process that was given the same number.
 *
 * @throws {DirectoryInUseError} a living process has it
 */
export async function lockDirectory(directory: string): Promise<DirectoryLock> {
  const path = join(directory, "lock");
  const own = `${path}.${randomUUID()}`;
  await writeFile(own, `${process.pid} ${(await startTimeOf(process.pid)) ?? unknownTime}\n`, { mode: 0o600 });
  try {
    for (;;) {
      if (await linked(own, path)) break;
      const text = await readIfThere(path);
      if (text === undefined) continue;
      await refuseIfHeld(directory, text);
      if (await takenOver(directory, own, path, text)) break;
    }
  } finally {
    await rm(own, { force: true });
  }
  return { release: () => rm(path, { force: true }) };
}

const unknownTime = "-";

/** Lets one process at a time replace the file: who looked earlier and acts later would replace that of the quicker one. */
async function takenOver(directory: string, own: string, path: string, deadText: string): Promise<boolean> {
  const permission = `${path}.takeover`;
  if (!(await linked(own, permission))) {
    const other = await readIfThere(permission);
    if (other !== undefined) await refuseIfHeld(directory, other);
    await rm(permission, { force: true });
    return false;
  }
  try {
    if ((await readIfThere(path)) !== deadText) return false;
    await rename(own, path);
    return true;
  } finally {
    await unlink(permission);
  }
}

/** Anything but the mark of a living process, such as the empty file that a full disk leaves, is nobody's. */
async function refuseIfHeld(directory: string, text: string): Promise<void> {
  const [, digits = "", time = ""] = /^([1-9]\d*) (\S+)\n$/.exec(text) ?? [];
  if (digits === "" || !isRunning(Number(digits))) return;
  const startTime = await startTimeOf(Number(digits));
  if (startTime === undefined || time === unknownTime || startTime === time)
    throw new DirectoryInUseError(directory, Number(digits));
}

function isRunning(processId: number): boolean {
  try {
    process.kill(processId, 0);
    return true;
  } catch (error) {
    // Another user's process may not be signalled, but it is there.
    return systemCodeOf(error) === "EPERM";
  }
}

/** @see https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html */
async function startTimeOf(processId: number): Promise<string | undefined> {
  const text = await readFile(`/proc/${processId}/stat`, "latin1").catch(() => "");
  // The name of the program, in parentheses, may hold spaces and parentheses itself. The third field is the first after it.
  return text.slice(text.lastIndexOf(")") + 2).split(" ")[22 - 3];
}

async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (systemCodeOf(error) === "EEXIST") return false;
    throw error;
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (systemCodeOf(error) === "ENOENT") return undefined;
    throw error;
  }
}
