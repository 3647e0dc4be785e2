import { availableParallelism } from "node:os";

import { describe, expect, it } from "vitest";

import { checkedConcurrency, parseArchiveFormat, parseCompressionLevel, parseConcurrency } from "./settings.ts";

describe("parseArchiveFormat", () => {
  it("CA C10: takes zip for 7z, and warns", () => {
    expect(parseArchiveFormat("7z", "CACHE_COMPRESSION_FORMAT")).toEqual({
      value: "zip",
      warning:
        'CACHE_COMPRESSION_FORMAT is "7z", which is not known: "zip" is used. It knows zip, zipzstd and tarzstd.',
    });
  });

  it.each([
    { row: "empty", text: "", format: "zip" },
    { row: "not set", text: undefined, format: "zip" },
    { row: "zip", text: "zip", format: "zip" },
    { row: "any case", text: "ZipZstd", format: "zipzstd" },
    { row: "tarzstd", text: "TARZSTD", format: "tarzstd" },
  ])("$row: $text means $format", ({ text, format }) => {
    expect(parseArchiveFormat(text, "CACHE_COMPRESSION_FORMAT")).toEqual({ value: format });
  });
});

describe("parseCompressionLevel", () => {
  it.each(["fastest", "fast", "default", "slow", "slowest"])("knows %s", (text) => {
    expect(parseCompressionLevel(text, "CACHE_COMPRESSION_LEVEL")).toEqual({ value: text });
  });

  it.each(["", undefined])("takes %j for the default", (text) => {
    expect(parseCompressionLevel(text, "CACHE_COMPRESSION_LEVEL")).toEqual({ value: "default" });
  });

  it("CA C12: warns of Fast, since the case counts, and uses the default", () => {
    expect(parseCompressionLevel("Fast", "ARTIFACT_COMPRESSION_LEVEL")).toEqual({
      value: "default",
      warning:
        'ARTIFACT_COMPRESSION_LEVEL is "Fast", which is not known: "default" is used. ' +
        "It knows fastest, fast, default, slow and slowest.",
    });
  });
});

describe("parseConcurrency", () => {
  const name = "FASTZIP_ARCHIVER_CONCURRENCY";

  it("is undefined when it is not set", () => {
    expect(parseConcurrency(undefined, name)).toBeUndefined();
    expect(parseConcurrency("", name)).toBeUndefined();
  });

  it("reads a number", () => {
    expect(parseConcurrency("12", name)).toBe(12);
  });

  it.each([
    ["0", "at least 1"],
    ["-1", "at least 1"],
    ["two", "an integer"],
    ["1.5", "an integer"],
    ["1e3", "an integer"],
    [" 1", "an integer"],
    ["9007199254740993", "an integer"],
  ])("refuses %j, and names the variable", (text, wanted) => {
    const message = `${name} is ${JSON.stringify(text)}: concurrency must be ${wanted}`;
    expect(() => parseConcurrency(text, name)).toThrow(message);
  });

  it("uses every processor unless told otherwise", () => {
    expect(checkedConcurrency(undefined)).toBe(availableParallelism());
  });
});
