import { describe, expect, it } from "vitest";
import { LogLines } from "./log-lines.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const start = (name: string): string => `section_start:1700000000:${name}\r\u001B[0K`;
const end = (name: string): string => `section_end:1700000000:${name}\r\u001B[0K`;

describe("LogLines", () => {
  it("tells which stage a line belongs to", () => {
    const lines = new LogLines();
    expect(
      lines.add(bytes(`${start("step_script")}heading\nhello\n${end("step_script")}${start("after_script")}bye\n`)),
    ).toEqual([
      { stage: "step_script", text: "heading" },
      { stage: "step_script", text: "hello" },
      { stage: "after_script", text: "bye" },
    ]);
  });

  it("reads the options of a section mark", () => {
    const lines = new LogLines();
    expect(lines.add(bytes("section_start:1:get_sources[collapsed=true]\r\u001B[0Ktext\n"))).toEqual([
      { stage: "get_sources", text: "text" },
    ]);
  });

  it("joins a line and a character that arrive in two pieces", () => {
    const lines = new LogLines();
    const text = bytes("naïve\n");
    expect(lines.add(text.subarray(0, 3))).toEqual([]);
    expect(lines.add(text.subarray(3))).toEqual([{ stage: undefined, text: "naïve" }]);
  });

  it("keeps empty lines that the job printed and drops lines that only held marks", () => {
    const lines = new LogLines();
    expect(lines.add(bytes(`a\n\n${end("x")}\nb\n`))).toEqual([
      { stage: undefined, text: "a" },
      { stage: undefined, text: "" },
      { stage: undefined, text: "b" },
    ]);
  });

  it("shows what a progress bar wrote last", () => {
    expect(new LogLines().add(bytes("10%\r50%\r100%\r\n"))).toEqual([{ stage: undefined, text: "100%" }]);
  });

  it("does not hold 20 MB that come without a line end", () => {
    const lines = new LogLines();
    const chunk = bytes("x".repeat(1024 * 1024));
    let shown = 0;
    for (let count = 1; count <= 20; count += 1) {
      for (const { text } of lines.add(chunk)) shown += text.length;
      expect(count * chunk.length - shown).toBeLessThanOrEqual(64 * 1024);
    }
  });

  it("gives the last line when it has no end", () => {
    const lines = new LogLines();
    lines.add(bytes("last"));
    expect(lines.end()).toEqual([{ stage: undefined, text: "last" }]);
    expect(lines.end()).toEqual([]);
  });
});
