import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { compileTokenPrefixes, DEFAULT_TOKEN_PREFIXES, TokenMasker } from "./token-masker.ts";

describe("TokenMasker", () => {
  it("CP A54: keeps the prefix and masks the token", () => {
    expect(mask(["glpat-AbC_1.2 ok"])).toBe("glpat-[MASKED] ok");
  });

  it("JE 32: keeps the prefix and masks the token", () => {
    expect(mask(["glpat-abcDEF_123 end"])).toBe("glpat-[MASKED] end");
  });

  it.each([
    { row: "a bare prefix", writes: ["glpat- and glrt-\n"], masked: "glpat- and glrt-\n" },
    { row: "a cut inside the prefix", writes: ["gl", "pat", "-", "abc", "def", " x"], masked: "glpat-[MASKED] x" },
    { row: "a token at the end", writes: ["glrt-abc"], masked: "glrt-[MASKED]" },
    { row: "a prefix in a word", writes: ["xglpat-abc"], masked: "xglpat-[MASKED]" },
    { row: "a prefix behind a prefix", writes: ["glpat-glrt-abc "], masked: "glpat-[MASKED] " },
    { row: "two tokens", writes: ["glpat-a,glrt-b;"], masked: "glpat-[MASKED],glrt-[MASKED];" },
    { row: "a session cookie", writes: ["_gitlab_session=0af; x"], masked: "_gitlab_session=[MASKED]; x" },
    { row: "another case", writes: ["GLPAT-abc"], masked: "GLPAT-abc" },
  ])("handles $row", ({ writes, masked }) => {
    expect(mask(writes)).toBe(masked);
  });

  it("masks personal access tokens even when other prefixes are given", () => {
    expect(mask(["glpat-a own-b glrt-c"], ["own-"])).toBe("glpat-[MASKED] own-[MASKED] glrt-c");
  });

  it("takes more than 15 prefixes", () => {
    const prefixes = Array.from({ length: 40 }, (_, index) => `prefix${index}:`);
    expect(mask(["prefix0:a prefix39:b"], [...DEFAULT_TOKEN_PREFIXES, ...prefixes])).toBe(
      "prefix0:[MASKED] prefix39:[MASKED]",
    );
  });

  it("masks as if it saw the whole text at once", () => {
    const prefixes = ["glpat-", "a:", "a::", "ab", "-a"];
    const part = fc.constantFrom("glpat-", "a:", ":", "ab", "b", "-", "a", "!", " ", "[", "glp");
    fc.assert(
      fc.property(fc.array(part, { maxLength: 20 }), fc.array(fc.nat(40), { maxLength: 6 }), (parts, cuts) => {
        const whole = parts.join("");
        const places = [0, ...cuts.toSorted((a, b) => a - b), whole.length];
        const writes = places.slice(1).map((place, index) => whole.slice(places[index], place));
        expect(mask(writes, prefixes)).toBe(maskWhole(prefixes, whole));
      }),
      { numRuns: 10_000 },
    );
  });
});

function mask(writes: readonly string[], prefixes: readonly string[] = DEFAULT_TOKEN_PREFIXES): string {
  const masker = new TokenMasker(compileTokenPrefixes(prefixes));
  return writes.map((write) => masker.push(Buffer.from(write)).toString()).join("") + masker.end().toString();
}

/** The definition: from the end of every prefix on, the run of token characters goes; one mask per run. */
function maskWhole(prefixes: readonly string[], text: string): string {
  let masked = "";
  for (let at = 0; at < text.length;) {
    const run = /^[0-9A-Za-z._=-]+/u.exec(text.slice(at))?.[0];
    if (run !== undefined && prefixes.some((prefix) => text.slice(0, at).endsWith(prefix))) {
      masked += "[MASKED]";
      at += run.length;
    } else {
      masked += text[at];
      at += 1;
    }
  }
  return masked;
}
