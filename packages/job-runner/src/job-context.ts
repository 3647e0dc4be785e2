import type { JobCredentials, JobPayload, Logger } from "@fleetfoot/coordinator-client";
import type { JobTrace } from "@fleetfoot/job-trace";

import type { RemoteCache } from "./cache/index.ts";
import type { Environment, Executor } from "./executor.ts";
import type { RunnerLog } from "./job-log.ts";
import type { JobSignals } from "./job-signals.ts";
import type { JobCoordinator } from "./job-coordinator.ts";
import type { JobEvent } from "./job-result.ts";
import type { Sleep, Spawn } from "./platform.ts";
import type { RunnerSettings } from "./runner-settings.ts";
import type { JobPlan } from "./plan.ts";
import type { JobVariables } from "./variables/job-variables.ts";

/** What every stage knows. */
export interface JobContext {
  readonly payload: JobPayload;
  readonly credentials: JobCredentials;
  readonly runner: RunnerSettings;
  readonly client: JobCoordinator;
  readonly executor: Executor;
  readonly cacheStore: RemoteCache | undefined;
  readonly plan: JobPlan;
  readonly concurrentProjectId: number;
  readonly trace: JobTrace;
  readonly log: RunnerLog;
  readonly signals: JobSignals;
  readonly events: (event: JobEvent) => void;
  readonly logger: Logger;
  /** Environment of the runner's own processes. */
  readonly hostEnvironment: Readonly<Record<string, string | undefined>>;
  readonly now: () => number;
  readonly sleep: Sleep;
  readonly spawn: Spawn;
}

/** What the stages know once the executor is ready. */
export interface PreparedJob extends JobContext {
  readonly environment: Environment;
  /** The final ones, those of the executor included. */
  readonly variables: JobVariables;
}
