import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { UsageError } from "../errors.ts";

/** Far more than any configuration has; more than this is another file by mistake. */
const MAX_CONFIGURATION_BYTES = 10 * 1024 * 1024;

/**
 * Reads a file of the configuration.
 *
 * @returns undefined when there is none
 * @throws {UsageError} it is no regular file, too large, not UTF-8, or may not be read
 */
export async function readConfiguration(path: string, signal: AbortSignal): Promise<string | undefined> {
  const file = await openIfThere(path);
  if (file === undefined) return undefined;
  try {
    const facts = await file.stat();
    if (!facts.isFile()) {
      const kind = facts.isDirectory() ? "a folder" : "no regular file";
      throw new UsageError(`${path} is ${kind}.`, { cure: "Name a text file with the configuration." });
    }
    if (facts.size > MAX_CONFIGURATION_BYTES) {
      throw new UsageError(`${path} has ${facts.size} bytes; a configuration has ${MAX_CONFIGURATION_BYTES} at most.`, {
        cure: "Name a text file with the configuration, or make this one smaller.",
      });
    }
    return decode(await file.readFile({ signal }), path);
  } catch (error) {
    throw signal.aborted ? signal.reason : error;
  } finally {
    await file.close();
  }
}

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    // A named pipe that nobody writes to would be waited for without end.
    return await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (!(error instanceof Error && "code" in error)) throw error;
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return undefined;
    if (error.code === "ENXIO")
      throw new UsageError(`${path} is no regular file.`, {
        cure: "Name a text file with the configuration.",
        cause: error,
      });
    throw error;
  }
}

function decode(bytes: Uint8Array, path: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw new UsageError(`${path} is not UTF-8.`, { cure: "Save it as UTF-8 and try again.", cause: error });
  }
}
