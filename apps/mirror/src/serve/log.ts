import type { LogFields, Logger } from "@fleetfoot/registry-mirror";
import type { Output } from "../context.ts";

/** Writes one line of JSON per event. */
export function createLog(output: Output, now: () => number): Logger {
  const write =
    (level: string) =>
    (message: string, fields: LogFields = {}): void => {
      const line = { time: new Date(now()).toISOString(), level, message, ...fields };
      output.write(`${JSON.stringify(line, writable)}\n`);
    };
  return { debug: () => {}, info: write("info"), warn: write("warn"), error: write("error") };
}

/** An error has no fields of its own that JSON would show. */
function writable(_key: string, value: unknown): unknown {
  return value instanceof Error ? value.message : value;
}
