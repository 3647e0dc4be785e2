import type { Logger } from "@fleetfoot/coordinator-client";
import {
  openUnfinishedJobs,
  removeTemporaryFiles,
  type UnfinishedJob,
  type UnfinishedJobs,
} from "@fleetfoot/job-runner";
import { endLeftoverGroups, type GroupRecords, openGroupRecords } from "../executors/group-records.ts";
import type { StateDirectory } from "./state-directory.ts";

/** Time between asking what a killed process left to end and killing it. */
const GRACE_MS = 5000;

/** What keeps the jobs of this process safe from its end, and what is left of those of earlier ones. */
export interface TakenOver {
  /** Undefined when the state directory cannot hold records; jobs then run without. */
  readonly unfinishedJobs: UnfinishedJobs | undefined;
  readonly groupRecords: GroupRecords | undefined;
  readonly leftovers: readonly UnfinishedJob[];
}

/**
 * Takes over what an earlier process left that was killed: ends the processes of its jobs and removes their temporary files. To be done
 * before any job begins, since that may use the same directories. Whatever goes wrong is no reason not to start.
 */
export async function takeOver(options: {
  readonly state: StateDirectory;
  readonly systemId: string;
  readonly logger: Logger;
  readonly sleep: (ms: number) => Promise<void>;
}): Promise<TakenOver> {
  const { state, systemId, logger, sleep } = options;
  const attempt = async <Result>(message: string, work: () => Promise<Result>): Promise<Result | undefined> => {
    try {
      return await work();
    } catch (error) {
      logger.warn(message, { error });
      return undefined;
    }
  };
  const unfinishedJobs = await attempt(
    "No records of jobs can be kept; a killed process could not be made up for",
    () => openUnfinishedJobs({ directory: state.jobs, asideDirectory: state.aside, systemId, logger }),
  );
  const leftovers =
    (await attempt("Jobs that an earlier process left cannot be looked for", async () => unfinishedJobs?.takeOver())) ??
    [];
  const groupRecords = await attempt("No process groups can be noted", () =>
    openGroupRecords({ directory: state.processes, logger }),
  );
  if (groupRecords !== undefined) {
    await attempt("Processes that an earlier process left cannot be looked for", () =>
      endLeftoverGroups({
        directory: state.processes,
        jobTokens: leftovers.map(({ facts }) => facts.token.reveal()),
        graceMs: GRACE_MS,
        logger,
        sleep,
      }),
    );
  }
  for (const job of leftovers) await removeTemporaryFiles(job, logger);
  return { unfinishedJobs, groupRecords, leftovers };
}
