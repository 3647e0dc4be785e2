import { assert, property, string } from "fast-check";
import { describe, expect, it } from "vitest";
import { prepareVariables } from "./expand.ts";
import type { KeyVariable } from "./expand.ts";
import { localCachePath, objectName } from "./names.ts";
import { checkFallbackKey, hashCacheKey, resolveCacheKeys } from "./resolve.ts";
import type { ResolvedCacheKeys } from "./resolve.ts";

interface Case {
  readonly key?: string;
  readonly fallbackKeys?: readonly string[];
  readonly variables?: readonly KeyVariable[] | Readonly<Record<string, string>>;
  readonly hashKeys?: boolean;
  readonly job?: { readonly name: string; readonly ref: string };
}

describe("resolveCacheKeys", () => {
  it.each([
    {
      row: "CA A1: expands a variable inside a key",
      given: { key: "gems-$CI_COMMIT_REF_SLUG-non_protected", variables: { CI_COMMIT_REF_SLUG: "feat-x" } },
      key: "gems-feat-x-non_protected",
      warnings: 0,
    },
    {
      row: "CA A2: keeps a slash that a value brings",
      given: { key: "$CI_COMMIT_REF_NAME-non_protected", variables: { CI_COMMIT_REF_NAME: "feat/x" } },
      key: "feat/x-non_protected",
      warnings: 0,
    },
    {
      row: "CA A3: names an empty key after job and ref",
      given: { key: "", job: { name: "unit", ref: "main" } },
      key: "unit/main",
      warnings: 0,
    },
    {
      row: "CA A4: cannot escape through the names of job and ref",
      given: { key: "", job: { name: "..", ref: "../x" } },
      key: "x",
      warnings: 0,
    },
    {
      row: "CA A5: turns a backslash into a slash and says so",
      given: { key: "some\\job" },
      key: "some/job",
      warnings: 1,
    },
    { row: "CA A6: skips a key of which nothing is left", given: { key: "%2E%2E" }, key: undefined, warnings: 1 },
    {
      row: "CA A7: skips an empty key",
      given: { key: "$EMPTY", variables: { EMPTY: "" } },
      key: undefined,
      warnings: 1,
    },
    { row: "CA A8: resolves dots inside the root", given: { key: "a/../../b " }, key: "b", warnings: 1 },
    {
      row: "CA A9: knows no defaults",
      given: { key: "${A:-z}", variables: { A: "x" } },
      key: undefined,
      warnings: 1,
    },
    {
      row: "expands no default key",
      given: { key: "", job: { name: "$A", ref: "r" }, variables: { A: "x" } },
      key: "$A/r",
      warnings: 0,
    },
  ])("$row", ({ given, key, warnings }) => {
    const resolved = resolve(given);
    expect(resolved.primary?.key).toBe(key);
    expect(resolved.primary?.readable).toBe(key);
    expect(resolved.warnings).toHaveLength(warnings);
  });

  it("says that a key is empty, and both forms of one that changed", () => {
    expect(resolve({ key: "%2E%2E" }).warnings).toEqual([expect.stringContaining("empty cache key")]);
    expect(resolve({ key: "$EMPTY" }).warnings).toEqual(["empty cache key"]);
    expect(resolve({ key: "some\\job" }).warnings).toEqual(['cache key "some\\\\job" was sanitised to "some/job"']);
  });

  it("CA A2: puts a key with a slash below the project as it is", () => {
    const { primary } = resolve({ key: "$REF-non_protected", variables: { REF: "feat/x" } });
    const name = objectName({ runnerShortToken: "AbCdEfGhI", projectId: 1, key: primary?.key ?? "" });
    expect(name).toBe("runner/AbCdEfGhI/project/1/feat/x-non_protected");
  });

  it("CA A10: names paths by the hash when hashing is on, and logs the readable key", () => {
    const { primary, warnings } = resolve({ key: "some-job/some-ref", hashKeys: true });
    const hash = "d03a852ba491ba611e907b1ef60ad5c4516a05b8f3aae6abb77f42bc60325aed";
    expect(primary).toEqual({
      readable: "some-job/some-ref",
      key: hash,
      hashed: true,
      alternate: { key: "some-job/some-ref", hashed: false },
    });
    expect(warnings).toEqual([]);
    expect(localCachePath("/cache/g/p", hash)).toBe(`/cache/g/p/${hash}/cache.zip`);
    expect(objectName({ runnerShortToken: "s", projectId: 10, key: hash, hashed: true })).toBe(
      `runner/s/project/10/d0/${hash}`,
    );
  });

  it("CA A11: lists fallback keys, then CACHE_FALLBACK_KEY, and leaves empty ones out without a word", () => {
    const variables = { EMPTY: "", CACHE_FALLBACK_KEY: "c" };
    const resolved = resolve({ key: "p", fallbackKeys: ["a", "$EMPTY", "b/"], variables });
    expect(order(resolved)).toEqual(["p", "a", "b", "c"]);
    expect(resolved.warnings).toEqual(['cache key "b/" was sanitised to "b"']);
  });

  it("CA A12: refuses CACHE_FALLBACK_KEY on what protected refs saved, and tries the others", () => {
    const resolved = resolve({ key: "p", fallbackKeys: ["a"], variables: { CACHE_FALLBACK_KEY: "main-protected." } });
    expect(order(resolved)).toEqual(["p", "a"]);
    expect(resolved.warnings).toEqual([expect.stringContaining("CACHE_FALLBACK_KEY")]);
  });

  it("CA A12, CA H3: refuses it by the cleaned form when hashing is on, too", () => {
    const resolved = resolve({ key: "p", hashKeys: true, variables: { CACHE_FALLBACK_KEY: "main-protected/" } });
    expect(resolved.fallbacks).toEqual([]);
    expect(resolved.warnings).toHaveLength(1);
  });

  it("CA A13: expands CACHE_FALLBACK_KEY once more, even a raw one", () => {
    const variables = [
      { key: "X", value: "main-non_protected" },
      { key: "CACHE_FALLBACK_KEY", value: "$X", raw: true },
    ];
    const resolved = resolve({ key: "p", variables });
    expect(order(resolved)).toEqual(["p", "main-non_protected"]);
    expect(resolved.warnings).toEqual([]);
  });

  it("reads the content of a CACHE_FALLBACK_KEY that lies in a file", () => {
    const resolved = resolve({ key: "p", variables: [{ key: "CACHE_FALLBACK_KEY", value: "shared", file: true }] });
    expect(order(resolved)).toEqual(["p", "shared"]);
  });

  it("CA A23, CA H2: hashes a climbing key, and keeps its alternate name inside the project", () => {
    const { primary } = resolve({ key: "../../other/k", hashKeys: true });
    expect(primary?.key).toBe(hashCacheKey("../../other/k"));
    expect(primary?.alternate).toEqual({ key: "other/k", hashed: false });
    expect(localCachePath("/cache/g/p", primary?.alternate?.key ?? "")).toBe("/cache/g/p/other/k/cache.zip");
  });

  it("CA A24: expands a key once and a fallback key twice", () => {
    const variables = [
      { key: "A", value: "x" },
      { key: "F", value: "$A" },
      { key: "G", value: "$F" },
    ];
    expect(order(resolve({ key: "$F-$G", fallbackKeys: ["$F-$G"], variables }))).toEqual(["x-$A", "x-x"]);
  });

  it("CA H2: has no alternate name for a key that only hashing makes usable", () => {
    expect(resolve({ key: "..", hashKeys: true }).primary).toMatchObject({ hashed: true, alternate: undefined });
  });

  it("CA H13: tries fallback keys although the key itself is unusable", () => {
    const resolved = resolve({ key: "..", fallbackKeys: ["a"] });
    expect(resolved.primary).toBeUndefined();
    expect(order(resolved)).toEqual(["a"]);
  });

  it("lists no name twice", () => {
    const resolved = resolve({ key: "a", fallbackKeys: ["a", "b", "b"], variables: { CACHE_FALLBACK_KEY: "b" } });
    expect(order(resolved)).toEqual(["a", "b"]);
  });

  it("never lets CACHE_FALLBACK_KEY reach a name that some protected key has", () => {
    assert(
      property(string(), string(), (before, after) => {
        for (const hashKeys of [false, true]) {
          const { fallbacks } = resolve({ key: "p", hashKeys, variables: [raw(`${before}-protected${after}`)] });
          for (const name of fallbacks) {
            expect(name.readable.endsWith("-protected")).toBe(false);
            expect(name.alternate?.hashed === false && name.alternate.key.endsWith("-protected")).toBe(false);
          }
        }
      }),
    );
  });
});

describe("checkFallbackKey", () => {
  it.each(["main-protected", "main-protected.", "main-protected. .", "main-protected/", "a/../main-protected"])(
    "refuses %j",
    (key) => {
      expect(checkFallbackKey(key)).toBe("protected");
    },
  );

  it.each(["x-non_protected", "x-protected-1", "main"])("allows %j", (key) => {
    expect(checkFallbackKey(key)).toBe("allowed");
  });

  it.each(["", "..", "main-protected/.."])("finds %j unusable", (key) => {
    expect(checkFallbackKey(key)).toBe("unusable");
  });
});

describe("hashCacheKey", () => {
  it("is the SHA-256 of the key", () => {
    expect(hashCacheKey("main-protected")).toBe("466a3df3e57a1b08df962a07ed964c83df72766aa83f2983c073ea49bd666866");
  });
});

function resolve(given: Case): ResolvedCacheKeys {
  const { key = "", variables = {}, job = { name: "job", ref: "ref" }, ...rest } = given;
  const list = Array.isArray(variables)
    ? (variables as readonly KeyVariable[])
    : Object.entries(variables).map(([name, value]) => ({ key: name, value: value as string }));
  return resolveCacheKeys({ key, job, ...prepareVariables(list), ...rest });
}

function order({ primary, fallbacks }: ResolvedCacheKeys): string[] {
  return [...(primary === undefined ? [] : [primary]), ...fallbacks].map((name) => name.readable);
}

function raw(value: string): KeyVariable {
  return { key: "CACHE_FALLBACK_KEY", value, raw: true };
}
