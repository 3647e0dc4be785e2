import type { CoordinatorListener } from "./events.ts";
import type { JobStore } from "./jobs/job-store.ts";
import type { JobQueue } from "./queue/job-queue.ts";
import type { RunnerRegistry } from "./runners/runner-registry.ts";
import type { Settings } from "./settings.ts";
import type { Keeper } from "./storage/keeper.ts";
import type { StateDirectory } from "./storage/state-directory.ts";

/** The parts of one coordinator, as its calls and pipelines use them. */
export interface Core {
  readonly settings: Settings;
  readonly state: StateDirectory;
  readonly runners: RunnerRegistry;
  readonly queue: JobQueue;
  readonly jobs: JobStore;
  readonly emit: CoordinatorListener;
  readonly keeper: Keeper;
  /** Aborted when the coordinator closes; everything that waits ends with it. */
  readonly closed: AbortSignal;
  /** Aborted when no further job is to be handed out, at the latest when the coordinator closes. */
  readonly draining: AbortSignal;
  /** Work that closing waits for; a rejection is logged. */
  readonly track: (work: Promise<void>) => void;
}
