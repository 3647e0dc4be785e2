import { describe, expect, it } from "vitest";
import { checkKeyText, serverCacheKey } from "./server-key.ts";

describe("serverCacheKey", () => {
  it("CA A21: appends the clear index, then the protection, to keys and fallback keys", () => {
    const facts = { clearIndex: 2, separateCaches: true, protectedRef: true };
    expect(serverCacheKey({ key: "gems", ...facts })).toBe("gems-2-protected");
    expect(serverCacheKey({ key: "old", ...facts })).toBe("old-2-protected");
  });

  it("CA A22: an unprotected entry is shared by all refs", () => {
    expect(serverCacheKey({ key: "gems", clearIndex: 2, protectedRef: true, unprotect: true })).toBe(
      "gems-2-non_protected",
    );
    expect(serverCacheKey({ key: "gems", clearIndex: 2, maintainer: true, unprotect: true })).toBe(
      "gems-2-non_protected",
    );
  });

  it("separates caches unless told otherwise", () => {
    expect(serverCacheKey({ key: "gems" })).toBe("gems-non_protected");
    expect(serverCacheKey({ key: "gems", maintainer: true })).toBe("gems-protected");
    expect(serverCacheKey({ key: "gems", protectedRef: true, separateCaches: false })).toBe("gems");
    expect(serverCacheKey({ key: "gems", clearIndex: 1, separateCaches: false })).toBe("gems-1");
  });
});

describe("checkKeyText", () => {
  it.each([
    { text: "gems", problem: undefined },
    { text: "a/b", problem: "contains-slash" },
    { text: "a%2Fb", problem: "contains-slash" },
    { text: "a%2fb", problem: "contains-slash" },
    { text: "a%252Fb", problem: undefined },
    { text: ".", problem: "only-dots" },
    { text: "..", problem: "only-dots" },
    { text: "%2E%2e", problem: "only-dots" },
    { text: "...", problem: undefined },
    { text: "$CI_COMMIT_REF_NAME", problem: undefined },
    { text: "100%", problem: undefined },
    { text: "", problem: undefined },
  ])("finds $problem in '$text'", ({ text, problem }) => {
    expect(checkKeyText(text)).toBe(problem);
  });
});
