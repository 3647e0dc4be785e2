import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { TraceLimit } from "./trace-limit.ts";

describe("TraceLimit", () => {
  it.each([
    { what: "one byte below the limit", writes: ["12345", "6789"], kept: "123456789", notice: false },
    { what: "exactly at the limit", writes: ["12345", "67890"], kept: "1234567890", notice: true },
    { what: "one byte above the limit", writes: ["12345", "67890x"], kept: "1234567890", notice: true },
    { what: "after the limit", writes: ["1234567890x", "y"], kept: "1234567890", notice: true },
    { what: "with a character across the limit", writes: ["12345678€"], kept: "12345678", notice: true },
    { what: "with a character up to the limit", writes: ["1234567€", "x"], kept: "1234567€", notice: true },
    { what: "with a four-byte character across the limit", writes: ["1234567", "😀"], kept: "1234567", notice: true },
    { what: "with nothing written", writes: [""], kept: "", notice: false },
  ])("cuts at a character $what", ({ writes, kept, notice }) => {
    expect(limited(10, writes)).toBe(notice ? kept + noticeOf(10) : kept);
  });

  it("keeps only the notice at a limit of 0", () => {
    expect(limited(0, ["x", "y"])).toBe(noticeOf(0));
  });

  it("keeps the longest run of whole characters that fits, whatever the writes", () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: "binary" })), fc.nat(40), (writes, limitBytes) => {
        const whole = Buffer.from(writes.join(""));
        const text =
          whole.length < limitBytes ? whole.toString() : fitting(whole.toString(), limitBytes) + noticeOf(limitBytes);
        expect(limited(limitBytes, writes)).toBe(whole.length === 0 ? "" : text);
      }),
      { numRuns: 10_000 },
    );
  });
});

function limited(limitBytes: number, writes: readonly string[]): string {
  const limit = new TraceLimit(limitBytes);
  return Buffer.concat(writes.flatMap((write) => limit.take(Buffer.from(write)))).toString();
}

function fitting(text: string, limitBytes: number): string {
  let kept = "";
  for (const character of text) {
    if (Buffer.byteLength(kept + character) > limitBytes) break;
    kept += character;
  }
  return kept;
}

function noticeOf(limitBytes: number): string {
  return `\n\u001B[33;1mJob's log exceeded limit of ${limitBytes} bytes.\nJob execution will continue but no more output will be collected.\u001B[0;m\n`;
}
