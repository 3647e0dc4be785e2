import { describe, expect, it } from "vitest";

import { commandLine, errorLine, headingLine, infoLine, noticeLine, plainLine, warningLine } from "./lines.ts";

describe("line forms", () => {
  it.each([
    { name: "plain", line: plainLine("text"), bytes: "\u001B[0Ktext\u001B[0;m\n" },
    { name: "info", line: infoLine("Job succeeded"), bytes: "\u001B[32;1mJob succeeded\u001B[0;m\n" },
    { name: "notice", line: noticeLine("text"), bytes: "\u001B[32;1mtext\u001B[0;m\n" },
    { name: "warning", line: warningLine("text"), bytes: "\u001B[0;33mWARNING: text\u001B[0;m\n" },
    { name: "error", line: errorLine("Job failed"), bytes: "\u001B[31;1mERROR: Job failed\u001B[0;m\n" },
    { name: "heading", line: headingLine("text"), bytes: "\u001B[36;1mtext\u001B[0;m\n" },
    { name: "command", line: commandLine("echo hi"), bytes: "\u001B[32;1m$ echo hi\u001B[0;m\n" },
  ])("writes a $name line with its colour", ({ line, bytes }) => {
    expect(line).toBe(bytes);
  });

  it("shows the first line of a command of several lines", () => {
    expect(commandLine("for f in *; do\n  echo $f\ndone")).toBe(
      "\u001B[32;1m$ for f in *; do # collapsed multi-line command\u001B[0;m\n",
    );
  });

  it("does not take the newline at the end of a command for a second line", () => {
    expect(commandLine("echo hi\n")).toBe(commandLine("echo hi"));
  });
});
