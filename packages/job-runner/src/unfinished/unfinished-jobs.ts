import { randomUUID } from "node:crypto";
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";

import { noopLogger } from "@fleetfoot/coordinator-client";
import type { Logger } from "@fleetfoot/coordinator-client";

import { readAcknowledged, readFacts, readResult, writeAcknowledged, writeFacts, writeResult } from "./record-files.ts";
import type { UnfinishedJob, UnfinishedJobFacts, UnfinishedJobResult, UnfinishedJobs } from "./types.ts";

/** Where records are kept. */
export interface OpenUnfinishedJobsOptions {
  /** Absolute path of a directory for records alone, made when it is missing. One process at a time. */
  readonly directory: string;
  /** Absolute path of the directory for what cannot be used, made when it is needed; on the same file system. */
  readonly asideDirectory: string;
  /** This machine; the records of another one are put aside. */
  readonly systemId: string;
  /** @default noopLogger */
  readonly logger?: Logger;
}

const TRACE_FILE = "trace.log";

/** Failures that say nothing of the record: there may be too little of something just now. */
const MACHINE_FAILURES: ReadonlySet<unknown> = new Set(["EAGAIN", "EBUSY", "EIO", "EMFILE", "ENFILE", "ENOMEM"]);

/** Begins the name of a directory whose record is not written yet. */
const NEW = ".new-";

/**
 * Keeps records of jobs until the coordinator knows how they ended: one directory each, with the job's facts, its log, how much of it has
 * arrived, and in the end the result. Each appears as a whole or not at all.
 *
 * A process that is killed leaves its records behind. They are no proof against a failure of the power supply.
 */
export async function openUnfinishedJobs(options: OpenUnfinishedJobsOptions): Promise<UnfinishedJobs> {
  const { directory, asideDirectory, systemId, logger = noopLogger } = options;
  await mkdir(directory, { recursive: true, mode: 0o700 });
  /** Names of the records that this process works on. */
  const owned = new Set<string>();

  function makeRecord(
    name: string,
    known: Pick<UnfinishedJob, "facts" | "acknowledgedBytes" | "result">,
  ): UnfinishedJob {
    const path = join(directory, name);
    let acknowledgedBytes = known.acknowledgedBytes;
    let { result } = known;
    let writing: Promise<void> | undefined;
    const give = async (): Promise<void> => {
      await writing;
      owned.delete(name);
    };
    return {
      facts: known.facts,
      traceFile: join(path, TRACE_FILE),
      get acknowledgedBytes() {
        return acknowledgedBytes;
      },
      get result() {
        return result;
      },
      acknowledge(bytes) {
        acknowledgedBytes = bytes;
        writing ??= keepUp().finally(() => {
          writing = undefined;
        });
      },
      async conclude(ended: UnfinishedJobResult) {
        await writeResult(path, ended);
        result = ended;
      },
      async forget() {
        await writing;
        await rm(path, { recursive: true, force: true });
        await give();
      },
      release: give,
    };

    /** Writes until the file says what is known; a burst of calls costs two writes. */
    async function keepUp(): Promise<void> {
      for (let written = -1; written !== acknowledgedBytes;) {
        written = acknowledgedBytes;
        // Without it the coordinator is asked what it has.
        await writeAcknowledged(path, written).catch((error: unknown) =>
          logger.debug("How much of the log has arrived could not be kept", { job: known.facts.id, error }),
        );
      }
    }
  }

  async function begin(facts: UnfinishedJobFacts): Promise<UnfinishedJob> {
    const name = `${facts.id}-${randomUUID()}`;
    const temporary = join(directory, NEW + name);
    owned.add(name);
    try {
      await mkdir(temporary, { mode: 0o700 });
      await writeFacts(temporary, facts);
      await rename(temporary, join(directory, name));
    } catch (error) {
      owned.delete(name);
      await rm(temporary, { recursive: true, force: true });
      throw error;
    }
    return makeRecord(name, { facts, acknowledgedBytes: 0, result: undefined });
  }

  async function takeOne(name: string): Promise<UnfinishedJob | undefined> {
    const path = join(directory, name);
    try {
      const [facts, result, acknowledgedBytes] = await Promise.all([
        readFacts(path),
        readResult(path),
        readAcknowledged(path),
      ]);
      if (facts.systemId !== systemId) throw new Error(`it belongs to the machine ${facts.systemId}`);
      return makeRecord(name, { facts, result, acknowledgedBytes });
    } catch (error) {
      owned.delete(name);
      await putAside(name, error);
      return undefined;
    }
  }

  /** One record that makes trouble keeps nobody from the others. */
  async function putAside(name: string, reason: unknown): Promise<void> {
    if (isOfTheMachine(reason)) {
      logger.warn("The record of an unfinished job cannot be read now; that is tried again later", {
        record: join(directory, name),
        error: reason,
      });
      return;
    }
    try {
      logger.warn("The record of an unfinished job cannot be used and is put aside; the job is not reported", {
        record: await moveAside(name),
        error: reason,
      });
    } catch (error) {
      logger.error("The record of an unfinished job cannot be used, nor put aside", {
        record: join(directory, name),
        error,
      });
    }
  }

  async function moveAside(name: string): Promise<string> {
    await mkdir(asideDirectory, { recursive: true, mode: 0o700 });
    const target = join(asideDirectory, `${name}-${randomUUID().slice(0, 8)}`);
    await rename(join(directory, name), target);
    return target;
  }

  return {
    begin,
    async takeOver() {
      const taken: UnfinishedJob[] = [];
      for (const name of (await readdir(directory)).toSorted()) {
        if (owned.has(name)) continue;
        if (name.startsWith(NEW)) {
          // One of this process may just be on its way.
          if (!owned.has(name.slice(NEW.length))) await rm(join(directory, name), { recursive: true, force: true });
          continue;
        }
        owned.add(name);
        const record = await takeOne(name);
        if (record !== undefined) taken.push(record);
      }
      return taken;
    },
  };
}

function isOfTheMachine(error: unknown): boolean {
  return error instanceof Error && "code" in error && MACHINE_FAILURES.has(error.code);
}
