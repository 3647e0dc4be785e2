import type { JobPayload } from "@fleetfoot/coordinator-client";

import type { Core } from "../core.ts";
import type { JobRecord } from "../jobs/job-record.ts";
import type { RunnerFeatures } from "../runners/runner-features.ts";
import type { Runner } from "../runners/runner-registry.ts";

/**
 * Gives the runner the first job that suits it.
 *
 * A job is taken from the queue before anything is awaited, so that two polls never get the same one. Jobs that this
 * runner cannot run, or whose payload cannot be made, fail and the next one is looked at.
 *
 * @throws the signal's reason; the job is then back in the queue
 * @see coordinator-protocol 4.2, 4.6
 */
export async function handOutJob(
  core: Core,
  runner: Runner,
  features: RunnerFeatures,
  signal: AbortSignal,
): Promise<JobPayload | undefined> {
  const { jobs, queue, settings } = core;
  for (let record = queue.first(runner); record !== undefined; record = queue.first(runner)) {
    const missing = record.definition.requiredFeatures.filter((feature) => features[feature] !== true);
    if (missing.length > 0) {
      const message = `the runner does not have what this job needs: ${missing.join(", ")}`;
      jobs.apply(record, "fail", { failureReason: "runner_unsupported", message });
      continue;
    }
    const twoPhase = settings.twoPhaseCommit && features["two_phase_job_commit"] === true;
    const fixedToken = record.handOuts === 0 ? record.definition.token : undefined;
    const token = fixedToken ?? `glcbt-${settings.randomHex(16)}`;
    record.handOuts += 1;
    jobs.apply(record, twoPhase ? "hold" : "assign");
    record.token = token;
    record.runnerId = runner.id;
    record.features = features;
    jobs.changed(record);
    const payload = await makePayload(core, record, runner, token);
    if (signal.aborted) {
      jobs.apply(record, "release");
      throw signal.reason;
    }
    if (payload === undefined || (record.state !== "held" && record.state !== "running")) continue;
    if (record.state === "held") awaitConfirmation(core, record);
    return payload;
  }
  return undefined;
}

/** Starts the time for the runner's confirmation, or starts it anew. */
export function awaitConfirmation(core: Core, record: JobRecord): void {
  record.confirmation?.abort();
  const confirmation = new AbortController();
  record.confirmation = confirmation;
  core.settings.sleep(core.settings.confirmationTimeoutMs, confirmation.signal).then(
    () => {
      core.settings.logger.warn("job was not confirmed in time; it is queued again", { job: record.id });
      core.jobs.apply(record, "release");
    },
    // Aborted: the job was confirmed, or it is over.
    () => undefined,
  );
}

async function makePayload(
  { jobs, settings }: Core,
  record: JobRecord,
  runner: Runner,
  token: string,
): Promise<JobPayload | undefined> {
  const atMs = settings.now();
  const queuedMs = atMs - (record.queuedAtMs ?? atMs);
  try {
    return await record.definition.payload({ id: record.id, token, runner, atMs, queuedMs });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    settings.logger.error("job cannot be prepared", { job: record.id, message });
    // A held job has no runner yet that could be told.
    jobs.apply(record, "fail", { failureReason: "data_integrity_failure", message });
    return undefined;
  }
}
