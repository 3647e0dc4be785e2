export { runCli } from "./cli.ts";
export { StopReason } from "./context.ts";
export type { CliContext, Output, StopSignals } from "./context.ts";
