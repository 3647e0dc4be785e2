import fc from "fast-check";
import { describe, expect, it } from "vitest";

import type { TraceStreamOptions } from "../types.ts";
import { Timestamper } from "./timestamper.ts";

const AT = Date.UTC(2026, 10, 21, 9, 30, 5, 123) + 0.456;
const TIME = "2026-11-21T09:30:05.123456Z";

describe("Timestamper", () => {
  it("puts 32 bytes in front of every line", () => {
    expect(stamp(["one\n\ntwo\n"])).toBe(`${TIME} 01O one\n${TIME} 01O \n${TIME} 01O two\n`);
  });

  it.each([
    { source: "runner", channel: "stdout", id: "00O" },
    { source: "job", channel: "stderr", id: "01E" },
    { source: "service", channel: "stdout", id: "0fO" },
  ] as const)("names the stream $id", ({ source, channel, id }) => {
    expect(stamp(["x\n"], { source, channel })).toBe(`${TIME} ${id} x\n`);
  });

  it("keeps the start of a line until its end is there", () => {
    const stamper = new Timestamper({ source: "job", channel: "stdout", now: () => AT });
    expect(stamper.push(Buffer.from("half"), true).toString()).toBe("");
    expect(stamper.push(Buffer.from(" line\n"), true).toString()).toBe(`${TIME} 01O half line\n`);
  });

  it("stamps a line with the time at which it began", () => {
    let time = AT;
    const stamper = new Timestamper({ source: "job", channel: "stdout", now: () => time });
    stamper.push(Buffer.from("half"), true);
    time += 5000;
    expect(stamper.push(Buffer.from(" line\nnext\n"), true).toString()).toBe(
      `${TIME} 01O half line\n2026-11-21T09:30:10.123456Z 01O next\n`,
    );
  });

  it("gives a write that ends in a carriage return at once, and marks what continues it", () => {
    expect(stamp(["10%\r", "20%\r", "done\n", "next\n"])).toBe(
      `${TIME} 01O 10%\r\n${TIME} 01O+20%\r\n${TIME} 01O+done\n${TIME} 01O next\n`,
    );
  });

  it("gives a section marker at once, and puts the heading on its continuation", () => {
    expect(stamp(["section_start:1:x\r\u001B[0K", "Heading\n"])).toBe(
      `${TIME} 01O section_start:1:x\r\n${TIME} 01O+\u001B[0KHeading\n`,
    );
  });

  it("leaves the line end of another system alone", () => {
    expect(stamp(["a\r\nb\r\n"])).toBe(`${TIME} 01O a\r\n${TIME} 01O b\r\n`);
  });

  it("splits a line above 8 KiB, and one of exactly 8 KiB not", () => {
    const full = "x".repeat(8192);
    expect(stamp([`${full}\n`])).toBe(`${TIME} 01O ${full}\n`);
    expect(stamp([`${full}y\n`])).toBe(`${TIME} 01O ${full}\n${TIME} 01O+y\n`);
  });

  it("ends a line that the stream left open", () => {
    expect(stamp(["no end"])).toBe(`${TIME} 01O no end\n`);
  });

  it("loses and splits no character, however the text is cut", () => {
    const part = fc.oneof(
      fc.string({ unit: "binary", maxLength: 10 }),
      fc.constantFrom("\n", "\r", "€".repeat(3000), "x".repeat(8191), "😀".repeat(2048)),
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 8 }), fc.array(fc.nat(20_000), { maxLength: 6 }), (parts, cuts) => {
        const whole = Buffer.from(parts.join(""));
        const places = [0, ...cuts.toSorted((a, b) => a - b), whole.length];
        const stamped = stampBytes(places.slice(1).map((place, index) => whole.subarray(places[index], place)));
        const entries = stamped.toString().split("\n").slice(0, -1);
        expect(stamped.includes("\uFFFD")).toBe(whole.includes("\uFFFD"));
        for (const entry of entries) expect(entry.startsWith(`${TIME} 01O`)).toBe(true);
        const joined = entries.map((entry) => (entry[31] === "+" ? "" : "\n") + entry.slice(32)).join("");
        const text = whole.toString();
        expect(joined).toBe(text === "" ? "" : `\n${text.endsWith("\n") ? text.slice(0, -1) : text}`);
      }),
      { numRuns: 3000 },
    );
  });
});

function stamp(writes: readonly string[], stream: TraceStreamOptions = { source: "job", channel: "stdout" }): string {
  return stampBytes(
    writes.map((write) => Buffer.from(write)),
    stream,
  ).toString();
}

function stampBytes(
  writes: readonly Buffer[],
  stream: TraceStreamOptions = { source: "job", channel: "stdout" },
): Buffer {
  const stamper = new Timestamper({ ...stream, now: () => AT });
  return Buffer.concat([...writes.map((write) => Buffer.from(stamper.push(write, true))), stamper.end()]);
}
