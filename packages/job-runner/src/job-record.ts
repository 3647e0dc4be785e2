import { noopLogger } from "@fleetfoot/coordinator-client";
import type { JobCredentials } from "@fleetfoot/coordinator-client";

import type { RunJobOptions } from "./options.ts";
import type { JobPlan } from "./plan.ts";
import type { UnfinishedJob, UnfinishedJobResult } from "./unfinished/index.ts";

/** The record of a job that runs; without a place for records it does nothing. */
export interface JobRecord {
  /** Where the log is kept; undefined when there is no record. */
  readonly traceFile: string | undefined;
  acknowledge(bytes: number): void;
  conclude(result: UnfinishedJobResult): Promise<void>;
  /** @param settled - whether the coordinator will not have to be told of the job again */
  end(settled: boolean): Promise<void>;
}

/** Starts the record of a job. A disk that cannot take it is no reason not to run the job. */
export async function beginRecord(
  options: RunJobOptions,
  credentials: JobCredentials,
  plan: JobPlan,
): Promise<JobRecord> {
  const { unfinishedJobs, runner, logger = noopLogger } = options;
  if (unfinishedJobs === undefined) return NO_RECORD;
  const attempt = async <Result>(what: string, work: () => Promise<Result>): Promise<Result | undefined> => {
    try {
      return await work();
    } catch (error) {
      logger.error(`The record of the job could not be ${what}; if this process is killed, the job is not reported`, {
        job: credentials.id,
        error,
      });
      return undefined;
    }
  };
  const record = await attempt<UnfinishedJob>("made", () =>
    unfinishedJobs.begin({
      ...credentials,
      url: runner.url,
      systemId: runner.systemId,
      debugTrace: plan.settings.debugTrace,
      timestamps: plan.flags.FF_TIMESTAMPS,
      outputLimitBytes: runner.outputLimitBytes ?? DEFAULT_OUTPUT_LIMIT_BYTES,
      temporaryDirectory: plan.directories.temporary,
    }),
  );
  if (record === undefined) return NO_RECORD;
  return {
    traceFile: record.traceFile,
    acknowledge: (bytes) => record.acknowledge(bytes),
    conclude: (result) => attempt("completed", () => record.conclude(result)),
    end: (settled) => attempt("removed", () => (settled ? record.forget() : record.release())),
  };
}

const DEFAULT_OUTPUT_LIMIT_BYTES = 4_194_304;

const NO_RECORD: JobRecord = {
  traceFile: undefined,
  acknowledge: () => undefined,
  conclude: () => Promise.resolve(),
  end: () => Promise.resolve(),
};
