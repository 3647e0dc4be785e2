import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { SystemUnavailableError } from "./errors.ts";
import { findProgram } from "./find-program.ts";

/**
 * Runs `work` while no other process of this machine runs work under the same lock file.
 *
 * A child holds the kernel's lock on the file and ends when its input does, so the lock is free again the moment this
 * process ends, even by SIGKILL. A file with a process id in it would need a take-over, which cannot be made free of races.
 *
 * @throws {SystemUnavailableError} the program `flock` is not there
 */
export async function withLock<Result>(lockFile: string, work: () => Promise<Result>): Promise<Result> {
  const flock = findProgram("flock");
  if (flock === undefined) throw new SystemUnavailableError("a lock", "there is no flock (util-linux)");
  await mkdir(dirname(lockFile), { recursive: true });
  const holder = spawn(flock, ["--no-fork", lockFile, "sh", "-c", "echo held; exec cat"], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const ended = once(holder, "close");
  const [held] = (await Promise.race([once(holder.stdout, "data"), ended])) as readonly unknown[];
  if (!Buffer.isBuffer(held)) throw new Error(`flock ${lockFile}: exit status ${String(held)}`);
  try {
    return await work();
  } finally {
    holder.stdin.end();
    await ended;
  }
}
