import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { isExportable, lengthProblem, nameWarning } from "./exported-limits.ts";

function withVariable(name: string, value: string): { readonly exported: ReadonlyMap<string, string> } {
  return { exported: new Map([[name, value]]) };
}

describe("a long variable", () => {
  it.runIf(process.platform === "linux")(
    "is refused exactly where the kernel would, by its name and without its value",
    () => {
      const most = 128 * 1024 - "LONG=\0".length;
      for (const length of [most, most + 1, most + 1000]) {
        const value = "v".repeat(length);
        const { error } = spawnSync("true", [], { env: { PATH: process.env["PATH"], LONG: value } });
        const problem = lengthProblem(withVariable("LONG", value), "linux");
        expect(problem === undefined).toBe(error === undefined);
        expect(problem?.message ?? "").not.toContain("vvv");
      }
      expect(lengthProblem(withVariable("LONG", "é".repeat(70_000)), "linux")?.message).toMatch(
        /"LONG" is too long .* has 140006 bytes, and 131072 is the limit; make it a variable of type file/,
      );
    },
  );

  it("is no problem where single variables have no limit", () => {
    expect(lengthProblem(withVariable("LONG", "v".repeat(200_000)), "darwin")).toBeUndefined();
  });
});

describe("names", () => {
  it.each([
    ["A", true],
    ["_a1", true],
    ["1A", false],
    ["A-B", false],
    ["A B", false],
    ["", false],
  ])("%j can be exported: %s", (name, exportable) => {
    expect(isExportable(name)).toBe(exportable);
  });

  it("that no shell can have are told in one line, the first of very many", () => {
    expect(nameWarning(withVariable("A", "1"))).toBeUndefined();
    expect(
      nameWarning({
        exported: new Map([
          ["A-B", "s3cr3t"],
          ["A", "1"],
          ["1X\u001B", "2"],
        ]),
      }),
    ).toBe(
      'scripts do not get "A-B", "1X\\u001b": the name of a variable has only letters, digits and _, and does not begin with a digit',
    );
    const many = new Map(Array.from({ length: 12 }, (_, index) => [`${index}`, ""]));
    expect(nameWarning({ exported: many })).toMatch(/"9" and 2 more: /);
  });
});
