import { describe, expect, it } from "vitest";

import { inTraceSection, sectionEnd, sectionStart } from "./sections.ts";

describe("sections", () => {
  it("marks start and end with whole seconds and without a newline", () => {
    expect(sectionStart("step_script", 1_700_000_000_999)).toBe("section_start:1700000000:step_script\r\u001B[0K");
    expect(sectionEnd("step_script", 1_700_000_001_000)).toBe("section_end:1700000001:step_script\r\u001B[0K");
  });

  it.each([
    { options: { collapsed: true }, settings: "[collapsed=true]" },
    { options: { hideDuration: true }, settings: "[hide_duration=true]" },
    { options: { collapsed: true, hideDuration: true }, settings: "[collapsed=true,hide_duration=true]" },
    { options: { collapsed: false }, settings: "" },
  ])("puts $settings behind the name", ({ options, settings }) => {
    expect(sectionStart("x", 0, options)).toBe(`section_start:0:x${settings}\r\u001B[0K`);
  });

  it("CP A55: writes no markers where the coordinator has no sections", async () => {
    const written: string[] = [];
    const result = await inTraceSection(
      { name: "x", enabled: false, write: (text) => written.push(text) },
      async () => 7,
    );
    expect({ written, result }).toEqual({ written: [], result: 7 });
  });

  it("CP A55: writes both markers, the end also when the work fails", async () => {
    const written: string[] = [];
    let time = 5000;
    const section = inTraceSection(
      { name: "x", enabled: true, write: (text) => written.push(text), now: () => (time += 1000) },
      async () => {
        written.push("work");
        throw new Error("broken");
      },
    );
    await expect(section).rejects.toThrow("broken");
    expect(written).toEqual(["section_start:6:x\r\u001B[0K", "work", "section_end:7:x\r\u001B[0K"]);
  });
});
