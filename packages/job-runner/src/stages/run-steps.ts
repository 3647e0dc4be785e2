import { expandReferences } from "@fleetfoot/cache-key";
import type { JobStep } from "@fleetfoot/coordinator-client";

import { JobInterrupted } from "../interruption.ts";
import type { PreparedJob } from "../job-context.ts";
import { runCommands } from "../script/run-commands.ts";
import { inStage } from "./stage.ts";

/** Runs the job's own steps, up to the first one that fails. */
export async function runSteps(job: PreparedJob): Promise<void> {
  using steps = job.signals.beginSteps();
  const { scriptTimeoutMs } = job.plan.settings;
  if (scriptTimeoutMs !== undefined) steps.limit(scriptTimeoutMs, () => JobInterrupted.scriptTimeout(), job.sleep);
  await job.environment.workspace.publish({ signal: steps.signal });
  for (const step of job.plan.steps) {
    const id = `step_${step.name.toLowerCase()}`;
    await inStage(job, { id, heading: `Executing "${id}" stage of the job script` }, () =>
      runStep(job, step, steps.signal),
    );
  }
}

async function runStep(job: PreparedJob, step: JobStep, signal: AbortSignal): Promise<void> {
  try {
    await runCommands(job, { commands: commandsOf(job, step), signal });
  } catch (error) {
    if (JobInterrupted.is(error) && error.kind === "canceled") {
      job.log.warning("script canceled externally (UI, API)");
    }
    throw error;
  }
}

/** The operator's scripts share the step's shell: what they set, the step sees, and their failure is its failure. */
function commandsOf({ runner, variables }: PreparedJob, step: JobStep): string[] {
  const own = step.name === RELEASE ? step.script.map((line) => expandReferences(line, variables.lookup)) : step.script;
  return [...optional(runner.preBuildScript), ...own, ...optional(runner.postBuildScript)];
}

/** The one step whose lines a coordinator leaves to the runner to expand. */
const RELEASE = "release";

function optional(script: string | undefined): string[] {
  return script === undefined || script === "" ? [] : [script];
}
