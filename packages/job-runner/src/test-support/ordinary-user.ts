import { lchown, readdir } from "node:fs/promises";
import { join } from "node:path";

/** A user without any rights of its own. */
export const NOBODY = 65_534;

/** Gives a folder with all that is in it to a user, if this process may do so. */
export async function own(top: string, user: number): Promise<void> {
  if (process.getuid?.() !== 0) return;
  for (const name of ["", ...(await readdir(top, { recursive: true }))]) await lchown(join(top, name), user, user);
}

/** Acts with the rights of an ordinary user, also where the tests run as root. */
export async function asNobody<Result>(action: () => Promise<Result>): Promise<Result> {
  const isRoot = process.getuid?.() === 0;
  if (isRoot) process.seteuid?.(NOBODY);
  try {
    return await action();
  } finally {
    if (isRoot) process.seteuid?.(0);
  }
}
