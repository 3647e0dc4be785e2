export { JobTraceError } from "./errors.ts";
export type { JobTraceErrorCode } from "./errors.ts";
export { DEFAULT_TOKEN_PREFIXES } from "./filters/token-masker.ts";
export { openJobTrace, reopenJobTrace } from "./job-trace.ts";
export { commandLine, errorLine, headingLine, infoLine, noticeLine, plainLine, warningLine } from "./lines.ts";
export { inTraceSection, sectionEnd, sectionStart } from "./sections.ts";
export type { SectionOptions, TraceSectionOptions } from "./sections.ts";
export type {
  JobTrace,
  JobTraceOptions,
  OpenJobTraceOptions,
  ReopenJobTraceOptions,
  TraceStreamOptions,
  TraceStreamSource,
} from "./types.ts";
