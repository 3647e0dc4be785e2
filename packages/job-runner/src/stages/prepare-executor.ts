import type { EnvironmentHolder } from "../environment-holder.ts";
import type { JobContext, PreparedJob } from "../job-context.ts";
import { mayRetry } from "../outcome.ts";
import { inStage } from "./stage.ts";

const ATTEMPTS = 3;
const PAUSE_MS = 3_000;

/** Gets a place for the job. What the executor calls final is not tried again. @see job-execution 1.1 */
export function prepareExecutor(job: JobContext, holder: EnvironmentHolder, signal: AbortSignal): Promise<PreparedJob> {
  const heading = `Preparing the "${job.executor.name}" executor`;
  return inStage(job, { id: "prepare_executor", heading }, async () => {
    if (job.plan.problem !== undefined) throw job.plan.problem;
    for (let tried = 1; ; tried++) {
      try {
        const environment = await holder.hold(job.executor.prepare(request(job, signal)), signal);
        job.log.namePathsOf(environment.workspace.directories, job.plan.directories);
        const variables = job.plan.variablesWith(environment.variables);
        job.trace.addMaskedValues(variables.maskedValues);
        return { ...job, environment, variables };
      } catch (error) {
        signal.throwIfAborted();
        if (tried === ATTEMPTS || !mayRetry(error)) throw error;
        job.log.error(`Preparation failed: ${error instanceof Error ? error.message : String(error)}`);
        job.log.plain(`Will be retried in ${PAUSE_MS / 1_000}s ...`);
        await job.sleep(PAUSE_MS, signal);
      }
    }
  });
}

function request(job: JobContext, signal: AbortSignal): Parameters<JobContext["executor"]["prepare"]>[0] {
  return {
    jobId: job.payload.id,
    projectId: job.payload.job_info.project_id,
    payload: job.payload,
    concurrentProjectId: job.concurrentProjectId,
    keepsWorkingCopy: job.plan.strategy === "fetch",
    directories: job.plan.directories,
    variables: job.plan.variables.exported,
    lookupContent: job.plan.variables.lookupContent,
    publicVariables: job.plan.variables.publicNames,
    log: (text) => job.log.plain(text),
    warn: (text) => job.log.warning(text),
    ...(job.plan.settings.debugServices
      ? { serviceOutput: (channel) => job.trace.openStream({ source: "service", channel }) }
      : {}),
    signal,
  };
}
