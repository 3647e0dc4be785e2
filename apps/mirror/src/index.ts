export { runCli } from "./cli.ts";
export type { CliContext, Output, StopSignals } from "./context.ts";
