import { constants } from "node:fs";
import { open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { hasCode } from "./system-error.ts";

/**
 * Opens a file to read it, in a directory where others may write: a link is not followed, and the writer of a pipe is not waited for.
 *
 * @returns `undefined` for a link, a socket, and a device without driver
 */
export async function openPlainly(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    if (NOT_TO_BE_OPENED.some((code) => hasCode(error, code))) return undefined;
    throw error;
  }
}

const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;
const NOT_TO_BE_OPENED = ["ELOOP", "ENXIO", "ENODEV"];
