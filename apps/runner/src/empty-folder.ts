import { mkdir, rm } from "node:fs/promises";

/**
 * Makes a folder that is empty and this user's only, also where a process that was killed left something behind. The caller
 * has made sure that nobody else uses it.
 */
export async function makeEmptyFolder(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true });
  await mkdir(path, { recursive: true, mode: 0o700 });
}
