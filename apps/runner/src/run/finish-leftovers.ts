import type { CoordinatorClient, Logger } from "@fleetfoot/coordinator-client";
import {
  finishUnfinishedJob,
  type ReportingSettings,
  type UnfinishedJob,
  type UnfinishedJobs,
} from "@fleetfoot/job-runner";

/** Pause between two looks for jobs that could not be reported. */
const PAUSE_MS = 10 * 60_000;

/** Reports at a time; a coordinator that comes back must not meet all of them at once. */
const CONCURRENCY = 4;

export interface FinishLeftoversOptions {
  readonly unfinishedJobs: Pick<UnfinishedJobs, "takeOver">;
  /** What earlier processes left, already taken over. */
  readonly leftovers: readonly UnfinishedJob[];
  /** The way to an instance, which stays open until it is released. */
  readonly reach: (url: string) => LeftoverAccess;
  readonly logger: Logger;
  /** Rejects with the signal's reason when it is aborted. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
}

/** How the coordinator of an unfinished job is reached. */
export interface LeftoverAccess {
  readonly client: Pick<CoordinatorClient, "updateJob" | "patchTrace">;
  readonly reporting: ReportingSettings;
  release(): void;
}

/** Time for reports that are on their way when it is ended. */
const GRACE_MS = 2000;

/** Goes on until it is ended. */
export interface LeftoverFinisher {
  /** Begins no report any longer, and soon ends those that are on their way; what is not reported is left for a later process. */
  end(): Promise<void>;
}

/**
 * Tells coordinators of jobs that they do not know the end of: those that earlier processes left, and from time to time those that this
 * one could not report.
 */
export function finishLeftovers(options: FinishLeftoversOptions): LeftoverFinisher {
  const { unfinishedJobs, leftovers, logger, sleep } = options;
  const noMore = new AbortController();
  const atOnce = new AbortController();
  const ended = untilEnded();
  let ending: Promise<void> | undefined;

  async function untilEnded(): Promise<void> {
    let jobs = leftovers;
    while (!noMore.signal.aborted) {
      await finishAll(jobs);
      await sleep(PAUSE_MS, noMore.signal).catch(() => undefined);
      if (!noMore.signal.aborted) jobs = await takeOver();
    }
  }

  async function takeOver(): Promise<readonly UnfinishedJob[]> {
    try {
      return await unfinishedJobs.takeOver();
    } catch (error) {
      logger.error("Jobs that could not be reported cannot be looked for", { error });
      return [];
    }
  }

  async function finishAll(jobs: readonly UnfinishedJob[]): Promise<void> {
    const waiting = [...jobs];
    const finishNext = async (): Promise<void> => {
      for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) {
        if (noMore.signal.aborted) await job.release();
        else await finish(job);
      }
    };
    await Promise.all(Array.from({ length: CONCURRENCY }, finishNext));
  }

  async function finish(job: UnfinishedJob): Promise<void> {
    const fields = { job: job.facts.id, url: job.facts.url };
    logger.info("Reporting a job that ended without its coordinator knowing", fields);
    let access: LeftoverAccess;
    try {
      access = options.reach(job.facts.url);
    } catch (error) {
      logger.error("The coordinator of a job cannot be reached", { ...fields, error });
      return job.release();
    }
    try {
      const { client, reporting } = access;
      const outcome = await finishUnfinishedJob(job, { client, reporting, signal: atOnce.signal, logger });
      const level = outcome === "delivered" || outcome === "unwanted" ? "info" : "warn";
      logger[level](TEXTS[outcome], fields);
    } catch (error) {
      if (!atOnce.signal.aborted) logger.error("A job could not be reported", { ...fields, error });
    } finally {
      access.release();
    }
  }

  async function end(): Promise<void> {
    const reason = new Error("the process ends");
    const inTime = new AbortController();
    noMore.abort(reason);
    const late = sleep(GRACE_MS, inTime.signal).then(
      () => atOnce.abort(reason),
      () => undefined,
    );
    await ended;
    inTime.abort();
    await late;
  }

  return { end: () => (ending ??= end()) };
}

const TEXTS = {
  delivered: "The coordinator has been told how the job ended",
  unwanted: "The coordinator does not want to hear of the job any longer",
  refused: "The coordinator refuses to hear how the job ended",
  kept: "The coordinator could not be told how the job ended; that is tried again later",
} as const;
