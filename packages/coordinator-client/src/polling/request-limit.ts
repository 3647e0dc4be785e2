const GROWTH = 1.1;
const SHRINKAGE = 0.95;
const RETREAT = 0.5;

/** What an answer to a job request says about asking more often. */
export interface RequestAnswer {
  readonly gotJob: boolean;
  /** Whether any attempt met a retriable status. */
  readonly throttled: boolean;
}

/**
 * How many requests of one runner may be open: more where there are jobs, fewer where there are none, half where the
 * coordinator has had enough.
 *
 * @see coordinator-protocol 11.3
 */
export class RequestLimit {
  #limit = 1;

  /** @param bound - the most that the configuration allows */
  effective(bound: number, adaptive: boolean): number {
    return adaptive ? Math.ceil(Math.min(this.#limit, bound)) : bound;
  }

  hear({ gotJob, throttled }: RequestAnswer, bound: number): void {
    const grown = this.#limit * (throttled ? RETREAT : gotJob ? GROWTH : SHRINKAGE);
    this.#limit = Math.min(Math.max(grown, 1), Math.max(bound, 1));
  }
}
