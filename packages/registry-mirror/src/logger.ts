/** Facts beside a log line: plain values, never a credential. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Where lines for the operator go. Any structured logger fits. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

/** Drops every line. */
export const noopLogger: Logger = { debug: drop, info: drop, warn: drop, error: drop };

/** Lets a message through at most once a minute; the others are dropped. */
export class OncePerMinute {
  readonly #lastAtMs = new Map<string, number>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  run(key: string, action: () => void): void {
    const last = this.#lastAtMs.get(key);
    if (last !== undefined && this.#now() - last < 60_000) return;
    this.#lastAtMs.set(key, this.#now());
    action();
  }
}

function drop(): void {
  // Nobody asked for the line.
}
