import type { Writable } from "node:stream";

import { ScriptFailedError } from "../errors.ts";
import type { Environment, ScriptExit } from "../executor.ts";
import type { PreparedJob } from "../job-context.ts";
import { ENVIRONMENT_FILE } from "../variables/environment-file.ts";
import { composeScript } from "./compose.ts";

export interface CommandsOptions {
  readonly commands: readonly string[];
  /** Where they run, as scripts see it. @default the project */
  readonly directory?: string;
  /** Values that differ for this script. @default {} */
  readonly overrides?: Readonly<Record<string, string>>;
  /** What runs them. @default the job's own container or host */
  readonly place?: Pick<Environment, "run">;
  readonly signal: AbortSignal;
}

/**
 * Runs commands of the job as one script, its output going to the log.
 *
 * @throws {ScriptFailedError} it ended with another exit than 0
 * @throws `signal.reason` it was stopped
 */
export async function runCommands(job: PreparedJob, options: CommandsOptions): Promise<void> {
  const { directories, flags, settings } = job.plan;
  const script = composeScript({
    shell: job.runner.shell ?? "bash",
    variables: new Map([...job.variables.exported, ...Object.entries(options.overrides ?? {})]),
    environmentFile: `${directories.temporary}/${ENVIRONMENT_FILE}`,
    directory: options.directory ?? directories.project,
    commands: options.commands,
    debugTrace: settings.debugTrace,
    checkEachCommand: flags.FF_ENABLE_BASH_EXIT_CODE_CHECK,
  });
  const exit = await runScript(job, script, options);
  if (exit.code !== 0) throw new ScriptFailedError(exit);
}

/**
 * Runs a script, its output going to the log.
 *
 * @throws `signal.reason` it was stopped
 */
export async function runScript(
  job: PreparedJob,
  script: string,
  { place = job.environment, signal }: Pick<CommandsOptions, "place" | "signal">,
): Promise<ScriptExit> {
  signal.throwIfAborted();
  await job.log.flush();
  const stdout = job.trace.openStream({ source: "job", channel: "stdout" });
  const stderr = job.trace.openStream({ source: "job", channel: "stderr" });
  try {
    const exit = await place.run({ script, stdout, stderr, signal });
    signal.throwIfAborted();
    return exit;
  } finally {
    await Promise.all([end(stdout), end(stderr)]);
  }
}

/** Ends a stream of the log and waits until what its filters held back is written, so that the next line comes after it. */
function end(stream: Writable): Promise<void> {
  return new Promise((resolve) => {
    stream.end(resolve);
  });
}
