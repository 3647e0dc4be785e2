import { array, assert, property, string, tuple } from "fast-check";
import { describe, expect, it } from "vitest";
import { directoryOfPrefix, encodeSegment, filePathOf } from "./file-names.ts";

const segments = string({ minLength: 1, unit: "binary" }).filter(
  (text) => text.isWellFormed() && !/[/\\]|^\.{1,2}$/.test(text),
);
const names = array(segments, { minLength: 1, maxLength: 4 }).map((list) => list.join("/"));

describe("filePathOf", () => {
  it("spells common names out", () => {
    const path = filePathOf("/store", "runner/AbCdEfGhI/project/42/gems-main_1.2");
    expect(path).toBe("/store/runner/AbCdEfGhI/project/42/gems-main_1.2~object");
  });

  it("gives unlike names unlike paths, inside the directory, in segments that every file system takes", () => {
    assert(
      property(tuple(names, names), ([left, right]) => {
        const [path, other] = [filePathOf("/store", left), filePathOf("/store", right)];
        if (left !== right) expect(path).not.toBe(other);
        expect(path.startsWith("/store/")).toBe(true);
        for (const part of path.split("/")) expect(Buffer.byteLength(`~claim-${part}`)).toBeLessThanOrEqual(255);
        expect(path.split("/")).not.toContain("..");
      }),
    );
  });

  it("keeps long segments apart, and short enough", () => {
    const long = "x".repeat(1000);
    expect(encodeSegment(`${long}a`)).not.toBe(encodeSegment(`${long}b`));
    expect(encodeSegment("ä".repeat(500)).length).toBeLessThanOrEqual(200);
  });
});

describe("directoryOfPrefix", () => {
  it("ends before the segment that may go on", () => {
    expect(directoryOfPrefix("/store", "a/b c/d")).toBe("/store/a/b%20c");
    expect(directoryOfPrefix("/store", "a/")).toBe("/store/a");
    expect(directoryOfPrefix("/store", "a")).toBe("/store");
    expect(directoryOfPrefix("/store", "")).toBe("/store");
  });
});
