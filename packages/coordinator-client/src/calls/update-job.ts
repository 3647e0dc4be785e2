import type { CallOptions, JobCredentials } from "../client.ts";
import { normaliseExitCode } from "../failure-reason.ts";
import type { Logger } from "../logger.ts";
import { CLIENT_ERROR_STATUS } from "../results.ts";
import type { JobUpdate, UpdateJobOutcome, UpdateJobResult } from "../results.ts";
import type { CallContext, CallRequest } from "./exchange.ts";
import { call, jsonBody } from "./call.ts";
import { logEnd } from "./wording.ts";
import { readJobSignals } from "./job-signals.ts";

/** Reports the state of a job. @see coordinator-protocol 6.1, 6.2 */
export async function updateJob(
  context: CallContext,
  job: JobCredentials,
  update: JobUpdate,
  options: CallOptions = {},
): Promise<UpdateJobResult> {
  const token = job.token.reveal();
  const request: CallRequest = {
    method: "PUT",
    path: `jobs/${job.id}`,
    endpoint: "jobs/{id}",
    headers: { "content-type": "application/json", "job-token": token },
    body: jsonBody(encodeUpdate(context.info.name, token, update)),
    secrets: [job.token],
    signal: options.signal,
  };
  const answer = await call(context, request);
  const { ended, ...signals } = readJobSignals(answer, context.logger);
  const outcome = outcomeOf(answer.facts.status, ended);
  if (answer.facts.message !== "" || outcome === "failed") {
    logEnd(context, LEVELS[outcome], TEXTS[outcome], request, answer);
  }
  return { ...answer.facts, ...signals, outcome };
}

function outcomeOf(status: number, ended: boolean): UpdateJobOutcome {
  if (ended || status === 403) {
    return "abort";
  }
  switch (status) {
    case 200:
      return "succeeded";
    case 202:
      return "accepted";
    case 412:
      return "trace-rejected";
    case 404:
    case CLIENT_ERROR_STATUS:
      return "abort";
    default:
      return "failed";
  }
}

/** Empty and zero members are left out, `output` itself never. */
function encodeUpdate(runnerName: string, token: string, update: JobUpdate): unknown {
  const { state, failureReason, runtimeEnvironmentKey, trace } = update;
  const exitCode = normaliseExitCode(update.exitCode ?? 0);
  return {
    info: { name: runnerName, features: {}, config: { gpus: "" } },
    token,
    state,
    failure_reason: failureReason,
    checksum: trace?.checksum,
    output: { checksum: trace?.checksum, bytesize: trace?.bytes || undefined },
    exit_code: exitCode || undefined,
    runtime_environment_key: runtimeEnvironmentKey || undefined,
  };
}

const LEVELS: Readonly<Record<UpdateJobOutcome, keyof Logger>> = {
  succeeded: "debug",
  accepted: "debug",
  "trace-rejected": "warn",
  abort: "warn",
  failed: "error",
};

const TEXTS: Readonly<Record<UpdateJobOutcome, string>> = {
  succeeded: "Job updated",
  accepted: "Job update accepted, not complete yet",
  "trace-rejected": "Job update refused, the trace must be sent again",
  abort: "Job update refused, the job is over for the coordinator",
  failed: "Job update failed",
};
