import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";

const BUFFER = /^trace-[0-9a-f-]{36}\.log$/;

/** Removes the logs that jobs of a killed run left behind, and nothing else: the folder may be one that the user named. */
export async function removeTraceLeftovers(directory: string): Promise<void> {
  const names = await readdir(directory);
  await Promise.all(
    names.filter((name) => BUFFER.test(name)).map((name) => rm(join(directory, name), { force: true })),
  );
}
