import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { StartMark } from "./start-mark.ts";

function passed(mark: StartMark, ...pieces: readonly string[]): string {
  return pieces.map((piece) => mark.pass("stdout", Buffer.from(piece)).toString()).join("");
}

describe("a script's mark", () => {
  it("is printed by every shell before the script's own output, and by nothing that prints the script itself", () => {
    const mark = new StartMark("0123");
    const script = mark.before("echo hi\n");
    const { stdout } = spawnSync("sh", [], { input: script, encoding: "utf8" });
    expect([passed(mark, script), mark.isSeen]).toEqual([script, false]);
    expect([passed(mark, stdout), mark.isSeen]).toEqual(["hi\n", true]);
  });

  it("is taken out wherever it comes in pieces, and nothing else is", () => {
    const text = "fleetfoot- entry: fleetfoot-began-0123\nout\n";
    for (let at = 0; at <= text.length; at += 1) {
      const mark = new StartMark("0123");
      expect([passed(mark, text.slice(0, at), text.slice(at)), mark.isSeen]).toEqual(["fleetfoot- entry: out\n", true]);
    }
  });

  it("is looked for in both streams, and what was held back of the other one is not lost", () => {
    const mark = new StartMark("0123");
    expect(passed(mark, "fleetfoot-beg")).toBe("");
    expect(mark.pass("stderr", Buffer.from("fleetfoot-began-0123\n")).toString()).toBe("");
    expect(mark.isSeen).toBe(true);
    expect(passed(mark, "inning\n", "fleetfoot-began-0123\n")).toBe("fleetfoot-beginning\nfleetfoot-began-0123\n");
    expect(mark.rest("stdout").toString()).toBe("");
  });

  it("leaves an end that looks like its beginning for the end of the output", () => {
    const mark = new StartMark("0123");
    expect(passed(mark, "x fleetfoot")).toBe("x ");
    expect(mark.rest("stdout").toString()).toBe("fleetfoot");
    expect(mark.isSeen).toBe(false);
  });
});
