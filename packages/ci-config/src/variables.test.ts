import { describe, expect, it } from "vitest";
import { expandVariables, mergeVariables, VariableView } from "./variables.ts";

const variable = (key: string, value: string, raw = false): { key: string; value: string; raw: boolean } => ({
  key,
  value,
  raw,
});

describe("expandVariables", () => {
  it.each([
    ["$A", "x"],
    ["${A}b", "xb"],
    ["%A%", "x"],
    ["$MISSING.", "."],
    ["$$A", "$$A"],
    ["100%", "100%"],
    ["$", "$"],
    ["$(A)", "$(A)"],
    ["${A:-z}", "${A:-z}"],
    ["$B", "$A"],
    ["$toString", ""],
  ])("%s becomes %j", (text, expected) => {
    expect(expandVariables(text, { A: "x", B: "$A" })).toBe(expected);
  });
});

describe("VariableView", () => {
  it("expands values that refer to each other, in any order", () => {
    expect(new VariableView({ G: "g" }, [variable("A", "$B-1"), variable("B", "$G")]).get("A")).toBe("g-1");
  });

  it("leaves raw values and given ones as they are", () => {
    const view = new VariableView({ G: "$A" }, [variable("A", "x"), variable("R", "$A", true)]);
    expect([view.get("G"), view.get("R")]).toEqual(["$A", "$A"]);
  });

  it("lets given variables win over those of the file", () => {
    expect(new VariableView({ A: "given" }, [variable("A", "file")]).get("A")).toBe("given");
  });

  it("ends when variables refer to each other in a circle", () => {
    expect(new VariableView({}, [variable("A", "$B"), variable("B", "$A")]).get("A")).toBe("$B");
  });

  it("knows the difference between empty and undefined", () => {
    const view = new VariableView({}, [variable("A", "")]);
    expect([view.get("A"), view.get("B")]).toEqual(["", undefined]);
  });
});

describe("mergeVariables", () => {
  it("lets later lists win", () => {
    expect(mergeVariables([variable("A", "1"), variable("B", "1")], [variable("A", "2")])).toEqual([
      variable("A", "2"),
      variable("B", "1"),
    ]);
  });
});
