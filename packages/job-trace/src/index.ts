export type { JobTrace, OpenJobTraceOptions, TraceStreamOptions, TraceStreamSource } from "./types.ts";
