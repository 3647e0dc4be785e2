import type { CallOptions, JobCertificates, RequestJobRequest, RequestJobResult } from "../client.ts";
import { decodeJobPayload, rejectionOf } from "../decoding/job-payload.ts";
import { ShapeError } from "../decoding/shape.ts";
import { checkLabels } from "../labels.ts";
import type { JobPayload } from "../payload.ts";
import { CLIENT_ERROR_STATUS } from "../results.ts";
import { encodeRunnerInfo } from "../runner-info.ts";
import { Secret } from "../secret.ts";
import type { Answer, CallContext, CallRequest } from "./exchange.ts";
import { call, jsonBody } from "./call.ts";
import { logEnd, undecodable } from "./wording.ts";
import type { LastUpdates } from "./last-updates.ts";

/**
 * Asks for one job.
 *
 * @throws {InvalidLabelsError} a label that a coordinator would not take
 * @see coordinator-protocol 4
 */
export async function requestJob(
  context: CallContext,
  lastUpdates: LastUpdates,
  runner: RequestJobRequest,
  options: CallOptions = {},
): Promise<RequestJobResult> {
  const token = runner.token.reveal();
  const info = runner.info === undefined ? context.info : { ...context.info, ...runner.info };
  checkLabels(info.labels ?? {});
  const request: CallRequest = {
    method: "POST",
    path: "jobs/request",
    endpoint: "jobs/request",
    headers: { accept: "application/json", "content-type": "application/json", "runner-token": token },
    body: jsonBody({
      info: encodeRunnerInfo(info),
      token,
      system_id: runner.systemId || undefined,
      last_update: lastUpdates.get(token),
      session: runner.session && { ...runner.session, authorization: runner.session.authorization.reveal() },
    }),
    jsonStatus: 201,
    secrets: [runner.token, ...(runner.session === undefined ? [] : [runner.session.authorization])],
    signal: options.signal,
    // Not idempotent: an answer that got lost may have assigned a job that nobody runs now.
    onRetry: (facts) => context.logger.warn("Job request repeated", facts),
  };
  const answer = decode(context, request, await call(context, request));
  lastUpdates.learn(token, answer.header("x-gitlab-last-update"));
  logOutcome(context, request, answer);
  const { facts, job } = answer;
  const healthy = facts.status !== 403 && facts.status !== CLIENT_ERROR_STATUS;
  const rejection = job && rejectionOf(job);
  const certificates = job && certificatesOf(context);
  return {
    ...facts,
    job,
    healthy,
    ...(rejection === undefined ? {} : { rejection }),
    ...(certificates === undefined ? {} : { certificates }),
  };
}

function certificatesOf(context: CallContext): JobCertificates | undefined {
  const found = "problem" in context.base ? undefined : context.transport.certificatesOf(context.base.origin);
  return found && { ...found, key: found.key === undefined ? undefined : new Secret(found.key) };
}

type JobAnswer = Answer & { readonly job?: JobPayload };

function decode(context: CallContext, request: CallRequest, answer: Answer): JobAnswer {
  if (answer.facts.status !== 201) {
    return answer;
  }
  try {
    return { ...answer, job: decodeJobPayload(answer.json) };
  } catch (error) {
    if (!(error instanceof ShapeError)) {
      throw error;
    }
    const problem = `the job cannot be decoded: ${error.message}`;
    return { ...answer, ...undecodable(context, request, answer.facts, answer.statusLine, problem) };
  }
}

function logOutcome(context: CallContext, request: CallRequest, answer: JobAnswer): void {
  const { job, facts } = answer;
  if (job !== undefined) {
    context.logger.debug("A job was handed out", {
      job: job.id,
      repository: withoutCredentials(job.git_info.repo_url),
      requestId: facts.requestId,
    });
    return;
  }
  switch (facts.status) {
    case 204:
      logEnd(context, "debug", "No job to do", request, answer);
      return;
    case 403:
      logEnd(context, "error", "Job request refused, the runner's token is not valid", request, answer);
      return;
    case CLIENT_ERROR_STATUS:
      logEnd(context, "error", "Job request impossible, the coordinator's URL cannot be used", request, answer);
      return;
    case 503:
      logEnd(context, "warn", "Job request refused, the coordinator is not available", request, answer);
      return;
    default:
      logEnd(context, "warn", "Job request failed", request, answer);
  }
}

function withoutCredentials(url: string): string {
  if (!URL.canParse(url)) {
    return "";
  }
  const { protocol, host, pathname } = new URL(url);
  return `${protocol}//${host}${pathname}`;
}
