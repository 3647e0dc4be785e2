import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeHeaderText, encodeHeaderText } from "./header-text.ts";

describe("text in headers", () => {
  it.each(["gems", "a b", 'x"<>&', "main-protected"])("leaves %j as it is", (text) => {
    expect(encodeHeaderText(text)).toBe(text);
  });

  it.each(["", " a", "a ", "a  b", "ä", "\u{1F600}", "=?UTF-8?B?eA==?="])(
    "makes %j safe for a header, and readable again",
    (text) => {
      expect(encodeHeaderText(text)).toMatch(/^=\?UTF-8\?B\?[\w+/=]*\?=$/);
      expect(decodeHeaderText(encodeHeaderText(text))).toBe(text);
    },
  );

  it("comes back whatever it is", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (text) => {
        expect(encodeHeaderText(text)).toMatch(/^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/);
        expect(decodeHeaderText(encodeHeaderText(text))).toBe(text);
      }),
    );
  });

  it("is read when another writer sent the bytes of UTF-8, or a service encoded it by quoting", () => {
    expect(decodeHeaderText(Buffer.from("schlüssel 鍵").toString("latin1"))).toBe("schlüssel 鍵");
    expect(decodeHeaderText("=?UTF-8?Q?schl=C3=BCssel_1?=")).toBe("schlüssel 1");
    expect(decodeHeaderText("=?utf-8?b?w6Q=?= =?utf-8?b?w7Y=?=")).toBe("äö");
    expect(decodeHeaderText("caf\u00e9")).toBe("caf\u00e9");
  });
});
