const MAX_PAUSE_MS = 60_000;

/**
 * Grows the pause between requests that the coordinator cannot answer, with jitter, so that a fleet does not come back
 * in step.
 *
 * The first failure costs no more than the usual turn.
 *
 * @see coordinator-protocol 11.2
 */
export class FailurePause {
  #failures = 0;

  /**
   * @param status - of an answer; network failure, 429 and 5xx are failures
   * @param checkIntervalMs - least pause
   * @param random - from 0 up to 1
   * @returns milliseconds to stay away from the coordinator; 0 for the usual turn
   */
  hear(status: number, checkIntervalMs: number, random: number): number {
    if (!isFailure(status)) {
      this.#failures = 0;
      return 0;
    }
    this.#failures += 1;
    if (this.#failures === 1) return 0;
    const longest = Math.max(Math.min(checkIntervalMs * 2 ** (this.#failures - 1), MAX_PAUSE_MS), checkIntervalMs);
    return checkIntervalMs + random * (longest - checkIntervalMs);
  }
}

function isFailure(status: number): boolean {
  return status === -1 || status === 429 || status >= 500;
}
