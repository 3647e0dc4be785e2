import { styleText } from "node:util";
import type { Logger, LogFields } from "@fleetfoot/coordinator-client";
import type { Output } from "./context.ts";
import { UsageError } from "./errors.ts";

const LEVELS = ["debug", "info", "warning", "error"] as const;
const FORMATS = ["runner", "text", "json"] as const;
const MESSAGE_WIDTH = 50;

type Level = (typeof LEVELS)[number];
type Format = (typeof FORMATS)[number];

/** Levels of the file format that this log does not tell apart from a neighbour. */
const OTHER_LEVELS: Readonly<Record<string, Level>> = {
  trace: "debug",
  warn: "warning",
  fatal: "error",
  panic: "error",
};

export interface ProcessLogOptions {
  readonly output: Output;
  /** @default "info" */
  readonly level?: string;
  /** `runner` for people, `text` for grep, `json` for machines. @default "runner" */
  readonly format?: string;
  readonly now: () => number;
}

/**
 * Makes the log of the process: one line per event with its facts behind it.
 *
 * @throws {UsageError} an unknown level or format
 * @see job-execution 4.4
 */
export function createProcessLog(options: ProcessLogOptions): Logger {
  const level = choose("log level", options.level ?? "info", LEVELS, OTHER_LEVELS);
  const format = choose("log format", options.format ?? "runner", FORMATS);
  const write =
    (lineLevel: Level) =>
    (message: string, fields: LogFields = {}): void => {
      if (LEVELS.indexOf(lineLevel) < LEVELS.indexOf(level)) return;
      options.output.write(
        `${formatLine(format, { level: lineLevel, message, fields, now: options.now(), colours: options.output.isTerminal })}\n`,
      );
    };
  return { debug: write("debug"), info: write("info"), warn: write("warning"), error: write("error") };
}

interface Line {
  readonly level: Level;
  readonly message: string;
  readonly fields: LogFields;
  readonly now: number;
  readonly colours: boolean;
}

function formatLine(format: Format, line: Line): string {
  if (format === "json") {
    const facts = {
      ...line.fields,
      level: line.level,
      msg: line.message,
      time: new Date(line.now).toISOString(),
    };
    return JSON.stringify(facts, writable);
  }
  if (format === "text") {
    const head = `time=${JSON.stringify(new Date(line.now).toISOString())} level=${line.level} msg=${JSON.stringify(line.message)}`;
    return [head, ...pairs(line.fields)].join(" ");
  }
  const label = { debug: "", info: "", warning: "WARNING: ", error: "ERROR: " }[line.level];
  const text = [`${label}${line.message}`.padEnd(MESSAGE_WIDTH), ...pairs(line.fields)].join(" ").trimEnd();
  const style = { debug: "dim", info: undefined, warning: "yellow", error: "red" } as const;
  const colour = style[line.level];
  return line.colours && colour !== undefined ? styleText(colour, text, { validateStream: false }) : text;
}

function pairs(fields: LogFields): readonly string[] {
  return Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .map(([key, value]) => `${key}=${quoted(value)}`);
}

function quoted(value: unknown): string {
  const plain = writable("", value);
  const text = typeof plain === "string" ? plain : (JSON.stringify(plain, writable) ?? String(plain));
  return /^[\w./:@+-]+$/.test(text) ? text : JSON.stringify(text);
}

/** Replaces what JSON would lose or refuse. */
function writable(_key: string, value: unknown): unknown {
  if (value instanceof Error) return value.message === "" ? value.name : value.message;
  return typeof value === "bigint" ? String(value) : value;
}

function choose<Choice extends string>(
  what: string,
  wanted: string,
  choices: readonly Choice[],
  others: Readonly<Record<string, Choice>> = {},
): Choice {
  const normal = wanted.toLowerCase();
  const choice =
    choices.find((candidate) => candidate === normal) ?? (Object.hasOwn(others, normal) ? others[normal] : undefined);
  if (choice === undefined)
    throw new UsageError(`"${wanted}" is no ${what}.`, { cure: `It is one of ${choices.join(", ")}.` });
  return choice;
}
