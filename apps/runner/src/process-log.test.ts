import { describe, expect, it } from "vitest";
import { createProcessLog } from "./process-log.ts";

describe("createProcessLog", () => {
  it.each([
    { format: "json", expected: '"error":"no route"' },
    { format: "text", expected: 'error="no route"' },
    { format: "runner", expected: 'error="no route"' },
  ])("shows in the format $format what an error says", ({ format, expected }) => {
    const { lines, log } = logOf({ format });
    log.error("broke", { error: new Error("no route") });
    expect(lines()).toContain(expected);
  });

  it("shows an error inside of a value, and one without a message by its name", () => {
    const { lines, log } = logOf({ format: "json" });
    log.error("broke", { tries: [new Error("first"), new TypeError()] });
    expect(JSON.parse(lines())).toMatchObject({ msg: "broke", level: "error", tries: ["first", "TypeError"] });
  });

  it.each(["json", "text", "runner"])("takes whole numbers of any size in the format %s", (format) => {
    const { lines, log } = logOf({ format });
    log.info("sizes", { one: 12_345_678_901_234_567_890n, many: [1n] });
    expect(lines()).toContain("12345678901234567890");
  });

  it.each([
    { level: "trace", shown: ["debug", "info", "warning", "error"] },
    { level: "debug", shown: ["debug", "info", "warning", "error"] },
    { level: "warn", shown: ["warning", "error"] },
    { level: "fatal", shown: ["error"] },
    { level: "Panic", shown: ["error"] },
  ])("shows with the level $level the lines of $shown", ({ level, shown }) => {
    const { lines, log } = logOf({ format: "json", level });
    log.debug("x");
    log.info("x");
    log.warn("x");
    log.error("x");
    const levels = lines()
      .trimEnd()
      .split("\n")
      .map((line) => (JSON.parse(line) as { level: string }).level);
    expect(levels).toEqual(shown);
  });

  it("names the levels when one is unknown", () => {
    expect(() => logOf({ level: "loud" })).toThrow('"loud" is no log level.');
    expect(() => logOf({ level: "constructor" })).toThrow('"constructor" is no log level.');
  });
});

function logOf(options: { readonly format?: string; readonly level?: string }): {
  readonly log: ReturnType<typeof createProcessLog>;
  lines(): string;
} {
  const written: string[] = [];
  const output = { write: (text: string) => void written.push(text), isTerminal: false, columns: undefined };
  return { log: createProcessLog({ output, now: () => 0, ...options }), lines: () => written.join("") };
}
