import { describe, expect, it } from "vitest";
import { WithoutTimestamps } from "./without-timestamps.ts";

const stamp = (mark: " " | "+" = " "): string => `2026-11-21T14:55:37.107000Z 00O${mark}`;

function strip(text: string, size: number): string {
  const filter = new WithoutTimestamps();
  const bytes = Buffer.from(text);
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += size) pieces.push(filter.add(bytes.subarray(at, at + size)));
  return Buffer.concat(pieces).toString();
}

describe("a log without its times", () => {
  it.each([1, 2, 7, 31, 32, 33, 1000])("reads the same in pieces of %i bytes", (size) => {
    const log = [
      `${stamp()}section_start:1:a\r\u001B[0Khello\n`,
      `${stamp()}section_end:1:a\r\n`,
      `${stamp("+")}\u001B[0Ksection_start:1:b\r\n`,
      `${stamp("+")}naïve ü\n`,
      `${stamp()}\n`,
      "no time here, but a line that is longer than a time\n",
      "short\r\n",
      `${stamp()}last\n`,
    ].join("");
    expect(strip(log, size)).toBe(
      [
        "section_start:1:a\r\u001B[0Khello\n",
        "section_end:1:a\r\u001B[0Ksection_start:1:b\rnaïve ü\n",
        "\n",
        "no time here, but a line that is longer than a time\n",
        "short\r\n",
        "last\n",
      ].join(""),
    );
  });

  it("shows a line as soon as it is complete", () => {
    const filter = new WithoutTimestamps();
    expect(Buffer.from(filter.add(Buffer.from(`${stamp()}half`))).toString()).toBe("half");
    expect(Buffer.from(filter.add(Buffer.from(" whole\n"))).toString()).toBe(" whole\n");
  });
});
