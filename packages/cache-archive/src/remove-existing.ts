import { rmdir, unlink } from "node:fs/promises";
import { errnoOf } from "./errors.ts";

/** Removes a file, a link or an empty folder. A folder with content stays, and is an error. */
export async function removeExisting(place: string | Buffer): Promise<void> {
  try {
    await unlink(place);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "ENOENT") return;
    // Linux says EISDIR for a folder, others EPERM.
    if (errno !== "EISDIR" && errno !== "EPERM") throw error;
    await rmdir(place);
  }
}
