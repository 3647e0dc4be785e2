export { ShellExecutorError, ShellNotFoundError, ShellStartError } from "./errors.ts";
export { createShellExecutor } from "./shell-executor.ts";
export type {
  ShellDirectories,
  ShellEnvironment,
  ShellExecutor,
  ShellExecutorOptions,
  ShellExit,
  ShellPrepareRequest,
  ShellRunRequest,
  ShellWorkspace,
  Spawn,
} from "./types.ts";
