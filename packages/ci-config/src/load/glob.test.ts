import { describe, expect, it } from "vitest";
import { compileGlob, compileIncludeGlob } from "./glob.ts";

describe("compileGlob, for changes and exists", () => {
  it.each([
    ["*.md", "a.md", true],
    ["*.md", "docs/a.md", false],
    ["*", ".hidden", true],
    ["docs/*", "docs/a", true],
    ["docs/**", "docs/a", true],
    ["docs/**", "docs/a/b", false],
    ["docs/**/*", "docs/a/b/c", true],
    ["docs/**/*", "docs/a", true],
    ["**/*.rb", "a.rb", true],
    ["**/*.rb", ".x/y/a.rb", true],
    ["a**/b", "axx/b", true],
    ["a**/b", "a/x/b", false],
    ["*.{rb,py}", "a.py", true],
    ["{a,b{c,d}}", "bd", true],
    ["{a,b", "{a,b", true],
    ["a?c", "abc", true],
    ["a?c", "a/c", false],
    ["[a-c]x", "bx", true],
    ["[!a-c]x", "bx", false],
    ["[^a]x", "bx", true],
    ["a[/]b", "a/b", false],
    ["[z-a]", "z", false],
    ["[open", "[open", true],
    [String.raw`\*.md`, "*.md", true],
    [String.raw`\*.md`, "a.md", false],
    ["a.b", "axb", false],
    ["(a|b)+$", "(a|b)+$", true],
  ])("%s against %s: %s", (glob, path, matches) => {
    expect(compileGlob(glob)(path)).toBe(matches);
  });
});

describe("compileIncludeGlob", () => {
  it.each([
    ["ci/*.yml", "ci/a.yml", true],
    ["ci/*.yml", "ci/x/a.yml", false],
    ["ci/**.yml", "ci/a.yml", true],
    ["ci/**.yml", "ci/x/y/a.yml", true],
    ["ci/**/*.yml", "ci/x/a.yml", true],
    ["ci/**/*.yml", "ci/a.yml", false],
    ["ci/*.yml", "ci/axyml", false],
  ])("%s against %s: %s", (glob, path, matches) => {
    expect(compileIncludeGlob(glob)(path)).toBe(matches);
  });
});
