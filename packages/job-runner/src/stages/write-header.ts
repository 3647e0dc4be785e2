import { shortToken } from "@fleetfoot/coordinator-client";

import type { JobContext } from "../job-context.ts";
import { DEFAULT_REVISION, DEFAULT_VERSION } from "../variables/collect-variables.ts";
import { changedFlags } from "../variables/feature-flags.ts";

/** Writes the first lines of the log: who runs the job, and which of its settings cannot be used. */
export function writeHeader({ runner, plan, log }: JobContext): void {
  const { program = "fleetfoot", version = DEFAULT_VERSION, revision = DEFAULT_REVISION } = runner;
  log.plain(`Running with ${program} ${version} (${revision})`);
  log.plain(`  on ${runner.name} ${shortToken(runner.token.reveal())}, system ID: ${runner.systemId}`);
  const flags = changedFlags(plan.flags);
  if (flags.length > 0) log.plain(`  feature flags: ${flags.join(", ")}`);
  for (const warning of plan.warnings) log.warning(warning);
}
