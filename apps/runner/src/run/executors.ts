import { createShellExecutor } from "@fleetfoot/executor-shell";
import type { Executor } from "@fleetfoot/job-runner";
import type { ChildGroups } from "./child-groups.ts";

/** An executor that can be ended in a hurry. */
export interface JobExecutor extends Executor {
  /** Kills everything that jobs have started, before it returns. */
  killAll(): void;
}

/** Names that `executor` in `config.toml` may have. */
export const SUPPORTED_EXECUTORS: readonly string[] = ["shell"];

/** Makes the executor of a runner; undefined when its name is not supported. */
export function createExecutor(
  runner: { readonly executor: string; readonly shell: string },
  environment: Readonly<Record<string, string>>,
  spawn: ChildGroups["spawn"],
): JobExecutor | undefined {
  return runner.executor === "shell"
    ? createShellExecutor({ shell: runner.shell === "sh" ? "sh" : "bash", environment, spawn })
    : undefined;
}
