const DEFAULT_REQUESTS_LIMIT = 3;
const DEFAULT_INTERVAL_MS = 60 * 60_000;

/** When a runner counts as unhealthy, and for how long. */
export interface HealthLimits {
  readonly unhealthyRequestsLimit?: number;
  readonly unhealthyIntervalMs?: number;
}

/**
 * Keeps a runner that is refused from being asked for all the time.
 *
 * @see coordinator-protocol 11.2
 */
export class RunnerHealth {
  #failures = 0;
  #healthyAt: number;

  /** @param now - epoch milliseconds; counts as a healthy answer */
  constructor(now: number) {
    this.#healthyAt = now;
  }

  /** Whether the runner has had all its tries. */
  isExhausted({ unhealthyRequestsLimit = DEFAULT_REQUESTS_LIMIT }: HealthLimits): boolean {
    return this.#failures >= unhealthyRequestsLimit;
  }

  /** Whether the runner may be asked. When its pause is over, it gets as many tries as at first. */
  mayAsk(limits: HealthLimits, now: number): boolean {
    if (!this.isExhausted(limits)) return true;
    if (now - this.#healthyAt < (limits.unhealthyIntervalMs ?? DEFAULT_INTERVAL_MS)) return false;
    this.reset(now);
    return true;
  }

  hear(healthy: boolean, now: number): void {
    if (healthy) this.reset(now);
    else this.#failures += 1;
  }

  reset(now: number): void {
    this.#failures = 0;
    this.#healthyAt = now;
  }
}
