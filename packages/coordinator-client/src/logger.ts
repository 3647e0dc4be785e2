/** Facts beside a log line: plain values, durations with their unit, never a token. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Where lines for the operator go. Any structured logger fits. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

/** Drops every line. */
export const noopLogger: Logger = {
  debug: drop,
  info: drop,
  warn: drop,
  error: drop,
};

function drop(): void {
  // Nobody asked for the line.
}
