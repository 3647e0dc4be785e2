import { JobInterrupted } from "../interruption.ts";
import type { PreparedJob } from "../job-context.ts";
import { runCommands } from "../script/run-commands.ts";
import { inStage } from "./stage.ts";

/**
 * Runs `after_script`, in a shell of its own, whatever became of the steps.
 *
 * @param failure - how the steps failed; undefined when they succeeded
 * @throws {ScriptFailedError | JobInterrupted} only when the job wants its errors to count
 */
export async function runAfterScript(
  job: PreparedJob,
  failure: { readonly error: unknown } | undefined,
): Promise<void> {
  const { afterScript, settings } = job.plan;
  if (afterScript === undefined) return;
  using branch = job.signals.branch(settings.afterScriptTimeoutMs, () => JobInterrupted.afterScriptTimeout());
  const overrides = { CI_JOB_STATUS: statusOf(failure) };
  try {
    await inStage(job, { id: "after_script", heading: "Running after_script" }, async () => {
      job.log.info("Running after script...");
      await runCommands(job, { commands: afterScript.script, overrides, signal: branch.signal });
    });
  } catch (error) {
    job.signals.job.throwIfAborted();
    if (!settings.afterScriptIgnoreErrors && failure === undefined) throw error;
    const text = error instanceof Error ? error.message : String(error);
    job.log.warning(`after_script failed, but job will continue unaffected: ${text}`);
  }
}

function statusOf(failure: { readonly error: unknown } | undefined): "success" | "failed" | "canceled" | "timedout" {
  if (failure === undefined) return "success";
  if (!JobInterrupted.is(failure.error)) return "failed";
  return failure.error.isTimeout ? "timedout" : "canceled";
}
