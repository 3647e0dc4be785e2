import { array, assert, constantFrom, oneof, property, string } from "fast-check";
import { describe, expect, it } from "vitest";
import { CacheKeyError } from "./errors.ts";
import { sanitiseCacheKey } from "./sanitise.ts";

describe("sanitiseCacheKey", () => {
  it.each([
    ["key", "key"],
    ["a/b", "a/b"],
    ["key/", "key"],
    ["key\\", "key"],
    ["key ", "key"],
    ["key/ \\", "key"],
    [" key ", " key"],
    ["/a//b/", "a/b"],
    ["./a", "a"],
    ["../a", "a"],
    ["..\\a", "a"],
    ["a/./b", "a/b"],
    ["a\\.\\b", "a/b"],
    ["a/x/../b", "a/b"],
    ["a/b/..", "a"],
    ["a/../../../b", "b"],
    ["...", "..."],
    [".../a", ".../a"],
    ["a/..b", "a/..b"],
    ["a%2fb", "a/b"],
    ["a%2Fb", "a/b"],
    ["a%252fb", "a%252fb"],
    ["%2e%2e%2fa", "a"],
    ["a/b%2f%2e%2e", "a"],
    ["%2E%2e%2E", "..."],
    ["%5C", "%5C"],
    ["%5c", "%5c"],
    ["%20", "%20"],
    ["C:\\x\\y", "C:/x/y"],
    ["%2E%2E%5C", "..%5C"],
    ["a b/ c/\n", "a b/ c"],
    ["a / \\b", "a / /b"],
    ["a/ /b", "a/ /b"],
    ["a/ /", "a"],
    ["a/ / /", "a"],
    ["key\u00a0", "key"],
    ["key\u3000/", "key"],
    ["key\u0085", "key"],
    ["key\u200b", "key\u200b"],
    ["key\ufeff", "key\ufeff"],
    ["", ""],
  ])("turns %j into %j", (key, sanitised) => {
    expect(sanitiseCacheKey(key)).toBe(sanitised);
  });

  const leavesNothing = [".", "..", "/", "\\", "//", "./.", "../.", " ", " / ", " \n\t ", "a/..", "a\\b\\..\\.."];
  const escaped = ["%2e", "%2E%2E", ".%2e"];
  it.each([...leavesNothing, ...escaped])("refuses %j", (key) => {
    expect(() => sanitiseCacheKey(key)).toThrow(expect.objectContaining({ code: "unusable-key", key }));
  });

  it.each([".. ", "a/.. ", "x/. ", "..\t", "a/.. / "])(
    "CA H1: refuses %j, whose end trimming turns into dots",
    (key) => {
      expect(() => sanitiseCacheKey(key)).toThrow(expect.objectContaining({ code: "unusable-key", key }));
    },
  );

  it("never leaves a segment that leads elsewhere, and changes nothing the second time", () => {
    const pieces = constantFrom("..", ".", "/", "\\", "%2e", "%2F", "%", "2f", " ", "\t", "a", "\u00a0", "\u0000");
    const keys = array(oneof({ weight: 5, arbitrary: pieces }, string()), { maxLength: 12 }).map((list) =>
      list.join(""),
    );
    assert(
      property(keys, (key) => {
        let sanitised: string;
        try {
          sanitised = sanitiseCacheKey(key);
        } catch (error) {
          expect(CacheKeyError.isInstance(error)).toBe(true);
          return;
        }
        const segments = sanitised.split("/");
        expect(segments).not.toContain("..");
        expect(segments).not.toContain(".");
        if (key !== "") expect(segments).not.toContain("");
        expect(sanitiseCacheKey(sanitised)).toBe(sanitised);
      }),
      { numRuns: 2000 },
    );
  });
});
