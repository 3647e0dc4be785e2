/** Does the units of one job, one at a time. */
export interface UnitRunner {
  /** Does a unit, synchronously where it can; after the promise settles the unit is done, or given to the output. */
  run(unit: number): Promise<void> | undefined;
  /** Completes what this participant still holds back. */
  settle(): void;
  /** What the units computed, if that is what the job is about. */
  readonly result?: unknown;
}
