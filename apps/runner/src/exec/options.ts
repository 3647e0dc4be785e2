import { availableParallelism } from "node:os";
import type { Invocation } from "../command.ts";
import type { CliContext } from "../context.ts";
import { UsageError } from "../errors.ts";
import { oneOf } from "../one-of.ts";
import { type PipelineOptions, readPipelineOptions } from "../project/pipeline-options.ts";
import { DEFAULT_STATE_DIRECTORY } from "../project/state-directory.ts";

/** What the user wants of a local run. */
export interface ExecOptions extends PipelineOptions {
  readonly concurrency: number;
  readonly shell: "bash" | "sh";
  /** Where scripts run. */
  readonly executor: "docker" | "shell";
  /** Image of jobs that name none, for containers. */
  readonly image: string | undefined;
}

/** Jobs wait for the disk, the network and their own processes, so more of them than processors keep a small machine busy. */
const LEAST_CONCURRENCY = 4;

/**
 * Reads the options of `fleetfoot exec`.
 *
 * @throws {UsageError} a value that cannot be meant
 */
export function readExecOptions(invocation: Invocation, context: CliContext): ExecOptions {
  if (invocation.flag("json") && !invocation.flag("list"))
    throw new UsageError("--json goes with --list.", { cure: "Write fleetfoot exec --list --json." });
  return {
    ...readPipelineOptions(invocation, context, { fileOption: "file", stateDirectory: DEFAULT_STATE_DIRECTORY }),
    concurrency: readConcurrency(invocation.text("concurrency")),
    shell: oneOf("shell", invocation.text("shell") ?? "bash", ["bash", "sh"]) === "sh" ? "sh" : "bash",
    executor:
      oneOf("executor", invocation.text("executor") ?? "shell", ["shell", "docker"]) === "docker" ? "docker" : "shell",
    image: invocation.text("image"),
  };
}

function readConcurrency(text: string | undefined): number {
  if (text === undefined) return Math.max(LEAST_CONCURRENCY, availableParallelism());
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1) return count;
  throw new UsageError(`--concurrency ${text} is no number of jobs.`, { cure: "Give a whole number of 1 or more." });
}
