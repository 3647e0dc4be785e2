import { rm } from "node:fs/promises";
import { makeFolder } from "./make-folder.ts";

/**
 * Makes a folder that is empty and this user's only, also where a process that was killed left something behind. The caller
 * has made sure that nobody else uses it.
 */
export async function makeEmptyFolder(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true });
  await makeFolder(path, 0o700);
}
