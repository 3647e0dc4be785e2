import type { EnvironmentHolder } from "./environment-holder.ts";
import { JobInterrupted } from "./interruption.ts";
import type { JobContext, PreparedJob } from "./job-context.ts";
import { checkPayload } from "./stages/check-payload.ts";
import { cleanUp } from "./stages/clean-up.ts";
import { downloadArtifacts } from "./stages/download-artifacts.ts";
import { getSources, stageLimitMs } from "./stages/get-sources.ts";
import { prepareEnvironment } from "./stages/prepare-environment.ts";
import { prepareExecutor } from "./stages/prepare-executor.ts";
import { resolveSecrets } from "./stages/resolve-secrets.ts";
import { restoreCache } from "./stages/restore-cache.ts";
import { runAfterScript } from "./stages/run-after-script.ts";
import { runSteps } from "./stages/run-steps.ts";
import { saveCache } from "./stages/save-cache.ts";
import { uploadArtifacts } from "./stages/upload-artifacts.ts";
import { writeHeader } from "./stages/write-header.ts";

/**
 * Goes through the stages of a job, in order. Rejects with what made the job fail.
 *
 * @param holder - gets the environment, which the caller releases
 * @see job-execution 1.1, 1.2
 */
export async function runStages(
  job: JobContext,
  rejection: string | undefined,
  holder: EnvironmentHolder,
): Promise<void> {
  writeHeader(job);
  checkPayload(job.payload, rejection);
  resolveSecrets(job);
  const prepared = await prepare(job, holder);

  let failure = await attempt(job, async () => {
    await getSources(prepared);
    await restoreCache(prepared);
    await downloadArtifacts(prepared);
  });
  if (isStageTimeout(failure)) throw failure?.error;
  if (failure === undefined) {
    const steps = await attempt(job, () => runSteps(prepared));
    const afterScript = await attempt(job, () => runAfterScript(prepared, steps));
    failure = steps ?? afterScript;
  }
  const succeeded = failure === undefined;
  const cacheFailure = await attempt(job, () => saveCache(prepared, succeeded));
  const artifactFailure = await attempt(job, () => uploadArtifacts(prepared, succeeded));
  await cleanUp(prepared);
  const first = failure ?? cacheFailure ?? artifactFailure;
  if (first !== undefined) throw first.error;
}

/** Both stages before the sources share one limit of time. */
async function prepare(job: JobContext, holder: EnvironmentHolder): Promise<PreparedJob> {
  const limitMs = stageLimitMs(job.runner.prepareTimeoutMs, job.plan.jobTimeoutMs);
  using branch = job.signals.branch(limitMs, () => JobInterrupted.stageTimeout("prepare"));
  const prepared = await prepareExecutor(job, holder, branch.signal);
  await prepareEnvironment(prepared);
  return prepared;
}

interface Failure {
  readonly error: unknown;
}

/** Does a part of the job that others follow even if it fails, unless the job as a whole is over. */
async function attempt(job: JobContext, work: () => Promise<void>): Promise<Failure | undefined> {
  try {
    await work();
    return undefined;
  } catch (error) {
    job.signals.job.throwIfAborted();
    return { error };
  }
}

function isStageTimeout(failure: Failure | undefined): boolean {
  return JobInterrupted.is(failure?.error) && failure.error.kind === "stage-timeout";
}
