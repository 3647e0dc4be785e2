import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { Utf8Repairer } from "./utf8-repairer.ts";

describe("Utf8Repairer", () => {
  it("passes valid text on as the very buffer it got", () => {
    const text = Buffer.from("naïve €\n");
    expect(new Utf8Repairer().push(text)).toBe(text);
  });

  it.each([
    { what: "a lone continuation byte", bytes: [0x80, 0x61], repaired: "\uFFFDa" },
    { what: "an overlong form", bytes: [0xc0, 0x80], repaired: "\uFFFD\uFFFD" },
    { what: "a cut character, one mark per byte", bytes: [0xe2, 0x82, 0x61], repaired: "\uFFFD\uFFFDa" },
    { what: "a surrogate", bytes: [0xed, 0xa0, 0x80], repaired: "\uFFFD\uFFFD\uFFFD" },
    { what: "a character beyond the last one", bytes: [0xf4, 0x90, 0x80, 0x80], repaired: "\uFFFD".repeat(4) },
    {
      what: "a character cut by the end of the stream",
      bytes: [0x61, 0xf0, 0x9f, 0x98],
      repaired: `a${"\uFFFD".repeat(3)}`,
    },
    { what: "nothing", bytes: [], repaired: "" },
  ])("replaces $what", ({ bytes, repaired }) => {
    expect(repair([Buffer.from(bytes)]).toString()).toBe(repaired);
  });

  it("keeps valid text whole however it is cut", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.array(fc.nat(60), { maxLength: 10 }), (text, cuts) => {
        const whole = Buffer.from(text);
        expect(repair(cut(whole, cuts)).equals(whole)).toBe(true);
      }),
      { numRuns: 10_000 },
    );
  });

  it("repairs any bytes as if it saw them at once, one mark per bad byte", () => {
    const byte = fc.constantFrom(
      0x61,
      0x80,
      0x9f,
      0xa0,
      0xbf,
      0xc1,
      0xc3,
      0xe0,
      0xe2,
      0xed,
      0xf0,
      0xf4,
      0xf5,
      0xff,
      0x8f,
    );
    fc.assert(
      fc.property(fc.array(byte, { maxLength: 24 }), fc.array(fc.nat(24), { maxLength: 8 }), (bytes, cuts) => {
        const whole = Buffer.from(bytes);
        expect(repair(cut(whole, cuts)).toString("hex")).toBe(repairWhole(whole).toString("hex"));
      }),
      { numRuns: 10_000 },
    );
  });
});

function repair(writes: readonly Buffer[]): Buffer {
  const repairer = new Utf8Repairer();
  // Copied before it is given away and wiped afterwards: the filter must not keep what belongs to the writer.
  const outputs = writes.map((write) => {
    const own = Buffer.from(write);
    const output = Buffer.from(repairer.push(own));
    own.fill(0);
    return output;
  });
  return Buffer.concat([...outputs, repairer.end()]);
}

function cut(whole: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [0, ...cuts.toSorted((a, b) => a - b), whole.length];
  return places.slice(1).map((place, index) => whole.subarray(places[index], place));
}

/** The definition: where a strict decoder takes the next 1 to 4 bytes, they stay; otherwise one byte is replaced. */
function repairWhole(bytes: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = [1, 2, 3, 4].find((count) => isCharacter(bytes.subarray(at, at + count), count));
    parts.push(length === undefined ? Buffer.from("\uFFFD") : bytes.subarray(at, at + length));
    at += length ?? 1;
  }
  return Buffer.concat(parts);
}

function isCharacter(bytes: Buffer, length: number): boolean {
  if (bytes.length !== length) return false;
  try {
    return Array.from(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)).length === 1;
  } catch {
    return false;
  }
}
