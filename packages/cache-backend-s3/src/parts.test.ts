import { describe, expect, it } from "vitest";
import { partLength } from "./parts.ts";

const mebibyte = 1024 * 1024;
const gibibyte = 1024 * mebibyte;

describe("the length of a part", () => {
  it.each([
    { row: "what is asked for", asked: 20 * mebibyte, bytes: gibibyte, length: 20 * mebibyte },
    { row: "no less than the service takes", asked: 1, bytes: gibibyte, length: 5 * mebibyte },
    { row: "no more than the service takes", asked: 8 * gibibyte, bytes: 20 * gibibyte, length: 5 * gibibyte },
    { row: "enough for 10,000 parts", asked: 5 * mebibyte, bytes: 100 * gibibyte, length: 11 * mebibyte },
  ])("is $row", ({ asked, bytes, length }) => {
    expect(partLength({ partBytes: asked }, bytes)).toBe(length);
  });
});
