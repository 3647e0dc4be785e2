import { describe, expect, it } from "vitest";
import { expandReferences, prepareVariables } from "./expand.ts";

const { lookup, lookupContent } = prepareVariables(
  [
    { key: "A", value: "first" },
    { key: "A", value: "x" },
    { key: "B", value: "" },
    { key: "FOO", value: "$A", raw: true },
    { key: "F", value: "$A" },
    { key: "G", value: "$F" },
    { key: "SELF", value: "$SELF:y" },
    { key: "FILE", value: "secret $A", file: true },
    { key: "USES_FILE", value: "at $FILE" },
  ],
  (name) => `/tmp/project.tmp/${name}`,
);

describe("expandReferences", () => {
  it.each([
    ["$A", "x"],
    ["${A}", "x"],
    ["$A-b", "x-b"],
    ["${A}b", "xb"],
    ["$A_b", ""],
    ["${A:-z}", ""],
    ["$$A", "$A"],
    ["${$}", "$"],
    ["$", "$"],
    ["a$", "a$"],
    ["a$.b", "a$.b"],
    ["$ A", "$ A"],
    ["$(A)", "$(A)"],
    ["${}", ""],
    ["${A", "A"],
    ["$1a", "a"],
    ["${1}a", "a"],
    ["$*$#$@$!$?$-$0", ""],
    ["$-x", "x"],
    ["\\$A", "\\x"],
    ["%A%", "%A%"],
    ["$FOO", "$A"],
    ["$B", ""],
    ["$NOTHING", ""],
    ["$é", "$é"],
    ["${A}${B}$A", "xx"],
  ])("turns %j into %j", (text, expanded) => {
    expect(expandReferences(text, lookup)).toBe(expanded);
  });

  it("inserts values literally", () => {
    expect(expandReferences("[$V]", () => "$& $1 $A")).toBe("[$& $1 $A]");
  });
});

describe("prepareVariables", () => {
  it("expands each value once, against the unexpanded list", () => {
    expect([lookup("F"), lookup("G"), lookup("FOO"), lookup("SELF")]).toEqual(["x", "$A", "$A", "$SELF:y:y"]);
  });

  it("gives a file variable's path to references and its own content to who asks for it", () => {
    expect([lookup("FILE"), lookup("USES_FILE")]).toEqual(["/tmp/project.tmp/FILE", "at /tmp/project.tmp/FILE"]);
    expect(lookupContent("FILE")).toBe("secret x");
  });

  it("knows nothing of other names, not even of those that every object has", () => {
    expect([lookup("toString"), lookupContent("__proto__")]).toEqual([undefined, undefined]);
  });
});
