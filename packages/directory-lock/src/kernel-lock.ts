import { spawn } from "node:child_process";
import { openPlainly } from "./open-plainly.ts";

/**
 * Locks an open file until it is closed, at the latest by the end of this process. Node has no call for that, but such a lock belongs to the
 * open file, which the program `flock` can share.
 *
 * @returns whether it could be done
 * @see https://man7.org/linux/man-pages/man2/flock.2.html
 */
export async function lockByKernel(fileNumber: number): Promise<boolean> {
  return (await flock("-x", fileNumber)) === "locked";
}

/** Whether somebody, in whatever container, holds a file locked; undefined where that cannot be known. */
export async function isLockedByKernel(path: string): Promise<boolean | undefined> {
  const file = await openPlainly(path).catch(() => undefined);
  if (file === undefined) return undefined;
  try {
    // Shared, so that those who look do not take one another for the holder.
    const result = await flock("-s", file.fd);
    return result === "unknown" ? undefined : result === "busy";
  } finally {
    await file.close();
  }
}

/** @see https://man7.org/linux/man-pages/man1/flock.1.html */
function flock(kind: "-s" | "-x", fileNumber: number): Promise<"busy" | "locked" | "unknown"> {
  return new Promise((resolve) => {
    const child = spawn("flock", [kind, "-n", "3"], { stdio: ["ignore", "ignore", "ignore", fileNumber] });
    // There is no such program here.
    child.on("error", () => resolve("unknown"));
    child.on("close", (code) => resolve(code === 0 ? "locked" : code === 1 ? "busy" : "unknown"));
  });
}
