import type { CallOptions, RunnerCredentials, VerifyRunnerResult } from "../client.ts";
import { NO_ANSWER_STATUS } from "../results.ts";
import { encodeRunnerInfo } from "../runner-info.ts";
import type { Answer, CallContext, CallRequest } from "./exchange.ts";
import { call, jsonBody } from "./call.ts";
import { logEnd } from "./wording.ts";
import type { LastUpdates } from "./last-updates.ts";
import { decodeRegistration } from "./registration.ts";

/** Asks whether the coordinator still knows a runner. @see coordinator-protocol 3.3 */
export async function verifyRunner(
  context: CallContext,
  lastUpdates: LastUpdates,
  runner: RunnerCredentials,
  options: CallOptions = {},
): Promise<VerifyRunnerResult> {
  const token = runner.token.reveal();
  const undecoded: CallRequest = {
    method: "POST",
    path: "runners/verify",
    endpoint: "runners/verify",
    headers: { accept: "application/json", "content-type": "application/json", "runner-token": token },
    body: jsonBody({ info: encodeRunnerInfo(context.info), token, system_id: runner.systemId || undefined }),
    secrets: [runner.token],
    signal: options.signal,
  };
  const request: CallRequest = { ...undecoded, jsonStatus: 200 };
  const first = decodeRegistration(context, request, await call(context, request), []);
  if (first.answer.facts.status !== NO_ANSWER_STATUS) {
    lastUpdates.learn(token, first.answer.header("x-gitlab-last-update"));
    return conclude(context, request, first.answer, first.registration);
  }

  // Old servers answer in plain text, so the second call looks at the status alone.
  const answer = await call(context, undecoded);
  const { attempts, throttled } = first.answer.facts;
  const facts = {
    ...answer.facts,
    attempts: attempts + answer.facts.attempts,
    throttled: throttled || answer.facts.throttled,
  };
  return conclude(context, request, { ...answer, facts }, { id: 0 });
}

/** A page for people, of a login form or a proxy, comes from something that is no coordinator. */
function isPage(answer: Answer): boolean {
  return answer.facts.status === 200 && answer.header("content-type")?.startsWith("text/html") === true;
}

function conclude(
  context: CallContext,
  request: CallRequest,
  answer: Answer,
  registration: { id: number; tokenExpiresAt?: string } | undefined,
): VerifyRunnerResult {
  switch (isPage(answer) ? undefined : answer.facts.status) {
    case 200:
      return { ...answer.facts, outcome: "valid", ...registration };
    case 403:
      logEnd(context, "error", "The coordinator does not know this runner", request, answer);
      return { ...answer.facts, outcome: "invalid" };
    default:
      logEnd(context, "error", "The runner could not be verified", request, answer);
      return { ...answer.facts, outcome: "inconclusive" };
  }
}
