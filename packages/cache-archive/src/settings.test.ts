import { availableParallelism } from "node:os";

import { describe, expect, it } from "vitest";

import { checkedConcurrency, parseArchiveFormat, parseCompressionLevel, parseConcurrency } from "./settings.ts";

describe("parseArchiveFormat", () => {
  it.each([
    { row: "CA C10", text: "7z", format: "zip" },
    { row: "empty", text: "", format: "zip" },
    { row: "not set", text: undefined, format: "zip" },
    { row: "zip", text: "zip", format: "zip" },
    { row: "any case", text: "ZipZstd", format: "zipzstd" },
    { row: "tarzstd", text: "TARZSTD", format: "tarzstd" },
  ])("$row: $text means $format", ({ text, format }) => {
    expect(parseArchiveFormat(text)).toBe(format);
  });
});

describe("parseCompressionLevel", () => {
  it.each(["fastest", "fast", "default", "slow", "slowest"])("knows %s", (text) => {
    expect(parseCompressionLevel(text)).toEqual({ value: text });
  });

  it.each(["", undefined])("takes %j for the default", (text) => {
    expect(parseCompressionLevel(text)).toEqual({ value: "default" });
  });

  it("CA C12: warns of Fast, since the case counts, and uses the default", () => {
    expect(parseCompressionLevel("Fast")).toEqual({
      value: "default",
      warning: 'Unknown compression level "Fast"; using "default".',
    });
  });
});

describe("parseConcurrency", () => {
  it("is undefined when it is not set", () => {
    expect(parseConcurrency(undefined)).toBeUndefined();
    expect(parseConcurrency("")).toBeUndefined();
  });

  it("reads a number", () => {
    expect(parseConcurrency("12")).toBe(12);
  });

  it.each(["0", "-1", "two", "1.5", "1e3", " 1"])("refuses %j", (text) => {
    expect(() => parseConcurrency(text)).toThrow(/concurrency/);
  });

  it("uses every processor unless told otherwise", () => {
    expect(checkedConcurrency(undefined)).toBe(availableParallelism());
  });
});
