import type { LogFields, Logger } from "../logger.ts";

interface LogLine {
  readonly level: keyof Logger;
  readonly message: string;
  readonly fields: LogFields;
}

export interface RecordingLogger extends Logger {
  readonly lines: readonly LogLine[];
  at(level: keyof Logger): readonly LogLine[];
}

export function createRecordingLogger(): RecordingLogger {
  const lines: LogLine[] = [];
  const record =
    (level: keyof Logger) =>
    (message: string, fields: LogFields = {}): void => {
      lines.push({ level, message, fields });
    };
  return {
    lines,
    at: (level) => lines.filter((line) => line.level === level),
    debug: record("debug"),
    info: record("info"),
    warn: record("warn"),
    error: record("error"),
  };
}

export interface FakeTime {
  readonly now: () => number;
  /** Returns at once; the clock is later by then. */
  readonly sleep: (ms: number, signal?: AbortSignal) => Promise<void>;
  readonly waits: readonly number[];
  /** Sets the clock, back as well. */
  readonly set: (epochMs: number) => void;
}

/** Whole seconds, since that is all that dates in headers can say. */
const FAKE_NOW: number = Date.UTC(2026, 10, 21, 10, 0, 0);

export function createFakeTime(): FakeTime {
  const waits: number[] = [];
  let now = FAKE_NOW;
  return {
    now: () => now,
    async sleep(ms, signal) {
      signal?.throwIfAborted();
      waits.push(ms);
      now += ms;
    },
    waits,
    set(epochMs) {
      now = epochMs;
    },
  };
}

/** The RFC 1123 form of a time as far from the fake clock's start. */
export function dateIn(ms: number): string {
  return new Date(FAKE_NOW + ms).toUTCString();
}

/** In place of a wait: the pool looks at a connection again only when the event loop has gone round. */
export function roundOfTheLoop(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(() => setImmediate(resolve));
  });
}
