import { describe, expect, it } from "vitest";
import { blockLength } from "./blocks.ts";

const mebibyte = 1024 * 1024;
const gibibyte = 1024 * mebibyte;

describe("the length of a block", () => {
  it.each([
    { row: "what is asked for", asked: 20 * mebibyte, bytes: gibibyte, length: 20 * mebibyte },
    { row: "no more than the service takes", asked: 8 * gibibyte, bytes: 20 * gibibyte, length: 4000 * mebibyte },
    { row: "enough for 50,000 blocks", asked: mebibyte, bytes: 100 * gibibyte, length: 3 * mebibyte },
  ])("is $row", ({ asked, bytes, length }) => {
    expect(blockLength({ partBytes: asked }, bytes)).toBe(length);
  });
});
