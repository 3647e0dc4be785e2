import type { Executor } from "@fleetfoot/job-runner";

/** An executor that can be ended in a hurry. */
export interface JobExecutor extends Executor {
  /** Kills everything that jobs have started, before it returns. */
  killAll(): void;
  /** Lets go of what it holds open; no job runs any longer. */
  close(): Promise<void>;
}
