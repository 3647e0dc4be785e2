import type { JobCertificates, RequestJobResult } from "../client.ts";
import type { Logger } from "../logger.ts";
import type { JobPayload } from "../payload.ts";
import type { Secret } from "../secret.ts";

/** One registered runner, as the poll loop sees it. */
export interface PolledRunner {
  /** For log lines. */
  readonly name: string;
  /**
   * Together with the token this says whether a runner of a new configuration is one that was there before. Of several with the
   * same URL and token the first counts as the first that was there, and so on.
   */
  readonly url: string;
  /** A blank one is skipped with a warning. */
  readonly token: Secret;
  /**
   * Jobs of this runner at a time; 0 means no limit of its own.
   *
   * @default 0
   */
  readonly limit?: number;
  /**
   * Open job requests at a time.
   *
   * @default 1
   */
  readonly requestConcurrency?: number;
  /**
   * Whether the runner waits for its turn after a job, too, instead of asking again at once.
   *
   * @default false
   */
  readonly strictCheckInterval?: boolean;
  /**
   * Unhealthy answers in a row after which the runner pauses.
   *
   * @default 3
   */
  readonly unhealthyRequestsLimit?: number;
  /**
   * Length of that pause, counted from the last healthy answer.
   *
   * @default 3_600_000
   */
  readonly unhealthyIntervalMs?: number;
}

/** What may change while the loop runs. */
export interface PollingConfig<Runner extends PolledRunner> {
  /** In the order in which they are asked. */
  readonly runners: readonly Runner[];
  /** Jobs and open requests of all runners at a time, 1 or more. */
  readonly concurrent: number;
  /**
   * Time in which every runner has its turn once; 0 or less means the default.
   *
   * @default 3000
   */
  readonly checkIntervalMs?: number;
  /**
   * Whether the number of open requests per runner adapts itself between 1 and `requestConcurrency`.
   *
   * @default true
   */
  readonly adaptiveRequestConcurrency?: boolean;
}

/** What goes with a job: numbers that are free among the running jobs, smallest first. */
export interface JobAssignment {
  /** Unique among the running jobs of one URL and token, from 0. */
  readonly concurrentId: number;
  /** Unique among the running jobs of one URL, token and project, from 0. */
  readonly concurrentProjectId: number;
  /** Why the job must not run, as the request's answer said. */
  readonly rejection?: string;
  /** What the job's own tools need for TLS, as the request's answer said. */
  readonly certificates?: JobCertificates;
}

/** How jobs are asked for and handed out. */
export interface PollingOptions<Runner extends PolledRunner> extends PollingConfig<Runner> {
  /** Asks once. The signal ends the request when the loop is stopped with `cancelRequests`. */
  readonly request: (runner: Runner, options: { readonly signal: AbortSignal }) => Promise<RequestJobResult>;
  /** Runs a job to its end; the slot is taken until then. A rejection is logged and ends nothing else. */
  readonly dispatch: (runner: Runner, job: JobPayload, assignment: JobAssignment) => Promise<void>;
  /**
   * Room for one more job of this runner, taken before a job is asked for; undefined when there is none.
   * It is released when the job has ended, or when there was none. The signal ends the wait for room when the loop is stopped.
   *
   * @default always room
   */
  readonly acquire?: (
    runner: Runner,
    options: { readonly signal: AbortSignal },
  ) => Promise<{ release(): void } | undefined>;
  /** @default noopLogger */
  readonly logger?: Logger;
  /**
   * Epoch milliseconds.
   *
   * @default Date.now
   */
  readonly now?: () => number;
  /**
   * Waits; rejects with the signal's reason when it is aborted.
   *
   * @default a timer
   */
  readonly sleep?: (ms: number, signal?: AbortSignal) => Promise<void>;
  /**
   * From 0 up to 1, for the jitter of pauses.
   *
   * @default Math.random
   */
  readonly random?: () => number;
}

/** A loop that asks for jobs. */
export interface Poller<Runner extends PolledRunner> {
  /** Jobs that run now. */
  readonly runningJobs: number;
  /** Takes over a new configuration, forgets which runners were unhealthy, and looks for work at once. */
  update(config: PollingConfig<Runner>): void;
  /**
   * Starts no further request; resolves when open requests are answered and all jobs have ended, those included that
   * such an answer brought. May be called again to cancel the open requests after all.
   */
  stop(options?: {
    /**
     * Whether to cancel open requests. A job that such a request would have brought is lost until the coordinator
     * gives it up.
     *
     * @default false
     */
    readonly cancelRequests?: boolean;
  }): Promise<void>;
}
