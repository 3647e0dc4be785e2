import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Glob } from "./glob.ts";

describe("Glob", () => {
  it.each<[pattern: string, matching: string[], other: string[]]>([
    ["*", ["a", ".hidden", "a.b"], ["a/b"]],
    ["a?c", ["abc", "a.c", "aéc"], ["ac", "a/c", "abbc"]],
    ["**", [".", "a", "a/b/c", ".x/.y"], []],
    ["**/x", ["x", "a/x", "a/b/x"], ["ax", "a/x/b"]],
    ["a/**", ["a", "a/b", "a/b/c"], ["b", "ab"]],
    ["a/**/c", ["a/c", "a/b/c", "a/b/b/c"], ["a", "a/cc"]],
    ["a**", ["a", "abc"], ["a/b"]],
    ["**.txt", ["root.txt", ".txt"], ["dir/a.txt"]],
    ["[abc]", ["a", "c"], ["d", "ab"]],
    ["[!a-c]", ["d", "-"], ["a", "b", "/"]],
    ["[^a]", ["b"], ["a"]],
    ["[a\\-c]", ["a", "-", "c"], ["b"]],
    ["[]]", [], []],
    ["{a,b}", ["a", "b"], ["c", "{a,b}"]],
    ["{a,b/c}/x", ["a/x", "b/c/x"], ["b/x"]],
    ["a{,.b}", ["a", "a.b"], ["ab"]],
    ["{a,{b,c}d}", ["a", "bd", "cd"], ["b", "ad"]],
    ["{[,],x}", [",", "x"], ["["]],
    ["\\*", ["*"], ["a"]],
    ["\\{a,b\\}", ["{a,b}"], ["a"]],
    ["DIR", ["DIR"], ["dir"]],
    ["*a*b*c", ["abc", "xaxbxc"], ["ab", "acb"]],
  ])("%s", (pattern, matching, other) => {
    const glob = Glob.compile(pattern);
    if (pattern === "[]]") {
      expect(glob).toBeUndefined();
      return;
    }
    for (const path of matching) expect([path, glob?.matches(path)]).toEqual([path, true]);
    for (const path of other) expect([path, glob?.matches(path)]).toEqual([path, false]);
  });

  it.each(["[b", "[", "[]", "[!]", "[a-", "[a-]", "{a", "{a,{b}", "a}", "x\\", "a/[b/c"])("refuses %s", (pattern) => {
    expect(Glob.compile(pattern)).toBeUndefined();
  });

  it("refuses braces that would multiply without end", () => {
    expect(Glob.compile("{a,b}".repeat(40))).toBeUndefined();
  });

  it("answers quickly for patterns that make a careless matcher try everything", () => {
    const glob = Glob.compile(`${"*a".repeat(200)}b`);
    expect(glob?.matches("a".repeat(5000))).toBe(false);
    const deep = Glob.compile(`${"**/a/".repeat(30)}b`);
    expect(deep?.matches(Array.from({ length: 300 }, () => "a").join("/"))).toBe(false);
  });

  it("matches every name with itself, once its special characters are escaped", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", minLength: 1 }), (name) => {
        const pattern = name.replaceAll(/[*?[\]{}\\]/g, String.raw`\$&`);
        expect(Glob.compile(pattern)?.matches(name)).toBe(true);
      }),
    );
  });
});
