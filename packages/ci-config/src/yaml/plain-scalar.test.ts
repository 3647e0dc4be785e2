import { describe, expect, it } from "vitest";
import { resolvePlainScalar } from "./plain-scalar.ts";

describe("resolvePlainScalar", () => {
  it.each([
    ["", null, ""],
    ["~", null, ""],
    ["NULL", null, ""],
    ["yes", true, "true"],
    ["On", true, "true"],
    ["off", false, "false"],
    ["False", false, "false"],
    ["y", "y", "y"],
    ["n", "n", "n"],
    ["nullable", "nullable", "nullable"],
    ["12", 12, "12"],
    ["-0", 0, "0"],
    ["0755", 493, "493"],
    ["-017", -15, "-15"],
    ["0x1F", 31, "31"],
    ["0b101", 5, "5"],
    ["1_000", 1000, "1000"],
    ["12345678901234567890", 12_345_678_901_234_567_000, "12345678901234567890"],
    ["1.10", 1.1, "1.1"],
    ["2.0", 2, "2.0"],
    ["1:30", 90, "90"],
    ["22:22", 1342, "1342"],
    ["1.2.3", "1.2.3", "1.2.3"],
    [".", ".", "."],
    ["1e", "1e", "1e"],
    ["089", "089", "089"],
    ["a:b", "a:b", "a:b"],
  ])("reads %j as %j, printed as %j", (text, value, printed) => {
    expect(resolvePlainScalar(text)).toEqual({ value, text: printed });
  });

  it.each(["2024-01-02", "2024-01-02T03:04:05Z", "2024-01-02 03:04:05 +01:00"])(
    "recognises the date %s, which must be quoted",
    (text) => {
      expect(resolvePlainScalar(text).value).toBeUndefined();
    },
  );
});
