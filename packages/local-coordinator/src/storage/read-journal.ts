import { createReadStream } from "node:fs";

import { LocalCoordinatorError } from "../errors.ts";
import type { JobEntry, JobOrigin, PipelineEntry, PipelineOrigin, RunnerEntry, StateEntry } from "./state-entry.ts";

/** What a coordinator left behind. Maps are in the order in which things were made. */
export interface KeptState {
  readonly runners: ReadonlyMap<number, RunnerEntry>;
  /** Highest id that a runner ever had; 0 when there was none. */
  readonly lastRunnerId: number;
  readonly jobs: ReadonlyMap<number, { readonly origin: JobOrigin; readonly entry: JobEntry }>;
  readonly pipelines: ReadonlyMap<number, { readonly origin: PipelineOrigin; readonly entry: PipelineEntry }>;
}

/**
 * Reads a journal; a last line that was not written as a whole does not count.
 *
 * @throws {LocalCoordinatorError} `state-directory`: it cannot be read, or a line other than the last one is damaged
 */
export async function readJournal(path: string): Promise<KeptState> {
  const runners = new Map<number, RunnerEntry>();
  const jobs = new Map<number, { origin?: JobOrigin; entry?: JobEntry }>();
  const pipelines = new Map<number, { origin?: PipelineOrigin; entry?: PipelineEntry }>();
  let lastRunnerId = 0;
  const apply = (entry: StateEntry): void => {
    if (entry.kind === "runner" || entry.kind === "runner-gone") lastRunnerId = Math.max(lastRunnerId, entry.id);
    if (entry.kind === "runner") runners.set(entry.id, entry);
    else if (entry.kind === "runner-gone") runners.delete(entry.id);
    else if (entry.kind === "job-origin") jobs.set(entry.id, { ...jobs.get(entry.id), origin: entry.origin });
    else if (entry.kind === "job") jobs.set(entry.id, { ...jobs.get(entry.id), entry });
    else if (entry.kind === "pipeline-origin")
      pipelines.set(entry.id, { ...pipelines.get(entry.id), origin: entry.origin });
    else pipelines.set(entry.id, { ...pipelines.get(entry.id), entry });
  };
  for await (const entries of entriesOf(path)) for (const entry of entries) apply(entry);
  return { runners, lastRunnerId, jobs: complete(jobs), pipelines: complete(pipelines) };
}

async function* entriesOf(path: string): AsyncGenerator<readonly StateEntry[]> {
  let damaged: number | undefined;
  let number = 0;
  try {
    for await (const line of linesOf(path)) {
      number += 1;
      if (damaged !== undefined)
        throw new LocalCoordinatorError("state-directory", `${path} is damaged in line ${damaged}`);
      const entries = parse(line);
      if (entries === undefined) damaged = number;
      else yield entries;
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    if (LocalCoordinatorError.isInstance(error)) throw error;
    throw new LocalCoordinatorError("state-directory", `cannot read ${path}`, { cause: error });
  }
}

/** Lines end with a line feed only; what texts hold of other separators is no end of a line. */
async function* linesOf(path: string): AsyncGenerator<string> {
  let rest = "";
  for await (const piece of createReadStream(path, "utf8") as AsyncIterable<string>) {
    const lines = (rest + piece).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
  if (rest !== "") yield rest;
}

function parse(line: string): readonly StateEntry[] | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return Array.isArray(value) ? (value as StateEntry[]) : undefined;
  } catch {
    // The process was killed, or the power was cut, while it was written.
    return undefined;
  }
}

function complete<Origin, Entry>(
  found: ReadonlyMap<number, { origin?: Origin; entry?: Entry }>,
): ReadonlyMap<number, { readonly origin: Origin; readonly entry: Entry }> {
  const whole = new Map<number, { readonly origin: Origin; readonly entry: Entry }>();
  for (const [id, { origin, entry }] of found) {
    if (origin !== undefined && entry !== undefined) whole.set(id, { origin, entry });
  }
  return whole;
}
