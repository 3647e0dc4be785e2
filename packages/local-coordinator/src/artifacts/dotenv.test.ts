import { describe, expect, it } from "vitest";

import { parseDotenv } from "./dotenv.ts";

describe("dotenv reports", () => {
  it.each([
    ["A=1\nB=two words\n", { A: "1", B: "two words" }],
    ["A=1\r\nA=2\r\n", { A: "2" }],
    [' A = "quoted" \n\n', { A: '"quoted"' }],
    ["URL=http://h/?a=b&c=d", { URL: "http://h/?a=b&c=d" }],
    ["EMPTY=", { EMPTY: "" }],
    ["", {}],
  ])("%j gives %j", (text, expected) => {
    expect(parseDotenv(text)).toEqual(expected);
  });

  it.each([
    ["A=1\nno equals sign", /line 2: not of the form/],
    ["# A=1", /line 1: a key has/],
    ["A-B=1", /line 1: a key has/],
    ["=1", /line 1: a key has/],
    [Array.from({ length: 151 }, (_, index) => `K${index}=1`).join("\n"), /more than 150 variables/],
  ])("%j is refused", (text, message) => {
    expect(() => parseDotenv(text)).toThrow(message);
  });
});
