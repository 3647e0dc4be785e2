import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { UrlParameterMasker } from "./url-parameter-masker.ts";

describe("UrlParameterMasker", () => {
  it("CP A53: masks the value of a parameter and keeps what follows", () => {
    expect(mask(["https://h/x?private_token=zzz&y=1\n"])).toBe("https://h/x?private_token=[MASKED]&y=1\n");
  });

  it("JE 31: masks a parameter that is not the first one", () => {
    expect(mask(["https://h/?a=1&private_token=zzz&b=2"])).toBe("https://h/?a=1&private_token=[MASKED]&b=2");
  });

  it.each([
    {
      row: "any case",
      writes: ["?X-Amz-Signature=ab&X-AMZ-CREDENTIAL=c"],
      masked: "?X-Amz-Signature=[MASKED]&X-AMZ-CREDENTIAL=[MASKED]",
    },
    { row: "the longest name", writes: ["?x-amz-security-token=ab "], masked: "?x-amz-security-token=[MASKED] " },
    { row: "cuts everywhere", writes: "?rss_token=ab c".split(""), masked: "?rss_token=[MASKED] c" },
    { row: "an empty value", writes: ["?private_token=&b=2"], masked: "?private_token=&b=2" },
    { row: "a value that ends at a tab", writes: ["?private_token=a\tb"], masked: "?private_token=[MASKED]\tb" },
    { row: "a value with an equals sign", writes: ["?private_token=a=b&c"], masked: "?private_token=[MASKED]&c" },
    {
      row: "a longer name",
      writes: ["?my_private_token=a&private_token2=b"],
      masked: "?my_private_token=a&private_token2=b",
    },
    { row: "a name without a question mark", writes: ["private_token=a"], masked: "private_token=a" },
    {
      row: "a long other name",
      writes: [`?${"n".repeat(100)}=a&private_token=b`],
      masked: `?${"n".repeat(100)}=a&private_token=[MASKED]`,
    },
  ])("handles $row", ({ writes, masked }) => {
    expect(mask(writes)).toBe(masked);
  });

  it("masks as if it saw the whole text at once", () => {
    const part = fc.constantFrom("?", "&", "=", "private_token", "Rss_Token", "x-amz-signature", "y", " ", "\n", "%");
    fc.assert(
      fc.property(fc.array(part, { maxLength: 20 }), fc.array(fc.nat(80), { maxLength: 6 }), (parts, cuts) => {
        const whole = parts.join("");
        const places = [0, ...cuts.toSorted((a, b) => a - b), whole.length];
        const writes = places.slice(1).map((place, index) => whole.slice(places[index], place));
        const names = "private_token|authenticity_token|rss_token|x-amz-(?:signature|credential|security-token)";
        const expected = whole.replaceAll(new RegExp(`([?&](?:${names})=)[^?&\\s]+`, "giu"), "$1[MASKED]");
        expect(mask(writes)).toBe(expected);
      }),
      { numRuns: 10_000 },
    );
  });
});

function mask(writes: readonly string[]): string {
  const masker = new UrlParameterMasker();
  return writes.map((write) => masker.push(Buffer.from(write)).toString()).join("") + masker.end().toString();
}
