import { closeSync, constants, fstatSync, openSync } from "node:fs";
import type { Stats } from "node:fs";

import { errnoOf } from "./errors.ts";

const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;

/** A file that is open for reading. */
export interface PlainFile {
  readonly descriptor: number;
  readonly facts: Stats;
}

/**
 * Opens a file to read it, where others may write.
 *
 * @returns undefined when there is none, or something else: a link may lead anywhere, and a pipe be read for ever
 */
export function openPlainFile(place: string | Buffer): PlainFile | undefined {
  let descriptor: number;
  try {
    descriptor = openSync(place, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    if (NO_FILE.has(errnoOf(error) ?? "")) return undefined;
    throw error;
  }
  const facts = fstatSync(descriptor);
  if (facts.isFile()) return { descriptor, facts };
  closeSync(descriptor);
  return undefined;
}

/** How the system names a link, a socket, and a device without driver in the place of a file. */
const NO_FILE: ReadonlySet<string> = new Set(["ENOENT", "ENOTDIR", "ELOOP", "ENXIO", "ENODEV"]);
