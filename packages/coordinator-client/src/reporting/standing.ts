import type { Logger } from "../logger.ts";
import type { JobSignals } from "../results.ts";

const MAX_INTERVAL_MS = 15 * 60_000;

/** What an answer says about the job beside its own outcome. */
interface Answer extends JobSignals {
  readonly outcome: string;
}

/**
 * How the coordinator stands to the job: how often it wants to hear, and whether it still wants the job at all.
 *
 * @see coordinator-protocol 7.3, 12
 */
export class Standing {
  intervalMs: number;
  aborted = false;
  #cancelled = false;
  readonly #initialIntervalMs: number;
  readonly #onCancel: () => void;
  readonly #onAbort: () => void;
  readonly #logger: Logger;

  constructor(options: {
    readonly initialIntervalMs: number;
    readonly onCancel: () => void;
    readonly onAbort: () => void;
    readonly logger: Logger;
  }) {
    this.#initialIntervalMs = options.initialIntervalMs;
    this.intervalMs = options.initialIntervalMs;
    this.#onCancel = options.onCancel;
    this.#onAbort = options.onAbort;
    this.#logger = options.logger;
  }

  resetInterval(): void {
    this.intervalMs = this.#initialIntervalMs;
  }

  /** Takes over the interval of an answer; all that matters once the job has ended. */
  adoptInterval(answer: Answer): void {
    const { updateIntervalMs } = answer;
    if (updateIntervalMs !== undefined && updateIntervalMs > 0) {
      this.intervalMs = Math.min(updateIntervalMs, MAX_INTERVAL_MS);
    }
  }

  /** Hears an answer while the job runs: each hook is called once, and an abort makes a cancel meaningless. */
  hear(answer: Answer): void {
    this.adoptInterval(answer);
    if (answer.outcome === "abort") {
      if (this.aborted) return;
      this.aborted = true;
      this.#logger.warn("The coordinator does not want the job any longer");
      this.#onAbort();
    } else if (answer.cancelRequested && !this.#cancelled && !this.aborted) {
      this.#cancelled = true;
      this.#logger.info("The coordinator asks to cancel the job");
      this.#onCancel();
    }
  }
}
