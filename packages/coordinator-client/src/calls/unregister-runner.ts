import type { CallOptions, RunnerCredentials, UnregisterRunnerResult } from "../client.ts";
import type { CallContext, CallRequest } from "./exchange.ts";
import { call, jsonBody } from "./call.ts";
import { logEnd } from "./wording.ts";
import type { LastUpdates } from "./last-updates.ts";
import { isAuthenticationToken } from "./register-runner.ts";

/** Removes a runner, or only this machine's entry when others may share its token. @see coordinator-protocol 3.4 */
export async function unregisterRunner(
  context: CallContext,
  lastUpdates: LastUpdates,
  runner: RunnerCredentials,
  options: CallOptions = {},
): Promise<UnregisterRunnerResult> {
  const token = runner.token.reveal();
  const shared = isAuthenticationToken(runner.token);
  const path = shared ? "runners/managers" : "runners";
  const request: CallRequest = {
    method: "DELETE",
    path,
    endpoint: path,
    headers: { "content-type": "application/json", "runner-token": token },
    body: jsonBody(shared ? { token, system_id: runner.systemId } : { token }),
    secrets: [runner.token],
    signal: options.signal,
  };
  const answer = await call(context, request);
  const succeeded = answer.facts.status === 204;
  if (succeeded) {
    lastUpdates.forget(token);
  } else {
    logEnd(context, "error", "The runner could not be unregistered", request, answer);
  }
  return { ...answer.facts, succeeded };
}
