export interface PatienceOptions {
  /** Epoch milliseconds. */
  readonly now: () => number;
  /** How long the first answer may take, with all that comes before it: a token, redirects. */
  readonly headMs: number;
  /** How long one try may bring nothing. */
  readonly idleMs: number;
  /** How long all tries together may bring nothing. */
  readonly stallMs: number;
}

/** How long a source is still waited for. What the mirror itself waits for does not count. */
export class Patience {
  readonly #options: PatienceOptions;
  #tryBeganAtMs: number;
  /** When the last bytes came that are worth being called progress. */
  #progressAtMs: number;
  /** What has come since then. */
  #bytesSince = 0;
  #isPaused = false;
  #hasAnswer = false;

  constructor(options: PatienceOptions) {
    this.#options = options;
    this.#tryBeganAtMs = options.now();
    this.#progressAtMs = options.now();
  }

  /** Whether the source has answered at all: somebody may have been given something then. */
  get hasAnswer(): boolean {
    return this.#hasAnswer;
  }

  /** Whether the present try is to be ended. */
  get isOver(): boolean {
    return this.#leftMs <= 0;
  }

  /** When it may be over, at the earliest. */
  get lookAgainMs(): number {
    // The head may have come by then.
    return Math.min(this.#leftMs, this.#options.idleMs);
  }

  beginTry(): void {
    this.#tryBeganAtMs = this.#options.now();
  }

  /** Whether there may be another try after a pause. */
  allowsTryAfter(pauseMs: number): boolean {
    return this.#options.now() + pauseMs - this.#progressAtMs < this.#options.stallMs;
  }

  noteAnswer(): void {
    if (!this.#hasAnswer) this.#progressAtMs = this.#options.now();
    this.#hasAnswer = true;
  }

  /** @param bytes - how much has come since the last call, also of what was there already */
  noteBytes(bytes: number): void {
    this.#bytesSince += bytes;
    // A byte now and then is no progress.
    if (this.#bytesSince < (this.#options.idleMs / 1000) * slowBytesPerSecond) return;
    this.#bytesSince = 0;
    this.#progressAtMs = this.#options.now();
  }

  /** Counts nothing while the mirror waits for itself. One such wait at a time. */
  async pausedWhile<Result>(wait: Promise<Result>): Promise<Result> {
    const beganAtMs = this.#options.now();
    this.#isPaused = true;
    try {
      return await wait;
    } finally {
      this.#isPaused = false;
      const pausedMs = this.#options.now() - beganAtMs;
      this.#tryBeganAtMs += pausedMs;
      this.#progressAtMs += pausedMs;
    }
  }

  get #leftMs(): number {
    const { headMs, idleMs, now, stallMs } = this.#options;
    if (this.#isPaused) return idleMs;
    const tryMs = now() - this.#tryBeganAtMs;
    // The head of the first answer has a limit of its own; nobody was given anything yet.
    if (!this.#hasAnswer) return headMs - tryMs;
    const silentMs = now() - this.#progressAtMs;
    return Math.min(idleMs - Math.min(silentMs, tryMs), stallMs - silentMs);
  }
}

/** Whoever sends less stands still. */
const slowBytesPerSecond = 1024;
