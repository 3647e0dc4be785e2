export { commandLine, errorLine, headingLine, infoLine, noticeLine, plainLine, warningLine } from "./lines.ts";
export { inTraceSection, sectionEnd, sectionStart } from "./sections.ts";
export type { SectionOptions, TraceSectionOptions } from "./sections.ts";
export type { JobTrace, OpenJobTraceOptions, TraceStreamOptions, TraceStreamSource } from "./types.ts";
