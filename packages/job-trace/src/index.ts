export { JobTraceError } from "./errors.ts";
export type { JobTraceErrorCode } from "./errors.ts";
export { DEFAULT_TOKEN_PREFIXES } from "./filters/token-masker.ts";
export { openJobTrace } from "./job-trace.ts";
export { commandLine, errorLine, headingLine, infoLine, noticeLine, plainLine, warningLine } from "./lines.ts";
export { inTraceSection, sectionEnd, sectionStart } from "./sections.ts";
export type { SectionOptions, TraceSectionOptions } from "./sections.ts";
export type { JobTrace, OpenJobTraceOptions, TraceStreamOptions, TraceStreamSource } from "./types.ts";
