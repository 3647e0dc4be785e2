import type { CallOptions, RegisterRunnerResult, ResetTokenRequest, RunnerCredentials } from "../client.ts";
import { Secret } from "../secret.ts";
import type { CallContext, CallRequest } from "./exchange.ts";
import { call, jsonBody } from "./call.ts";
import type { LastUpdates } from "./last-updates.ts";
import { wholeSeconds } from "./register-runner.ts";
import { decodeRegistration } from "./registration.ts";
import { logEnd } from "./wording.ts";

/**
 * Exchanges a runner's token for a new one; the old one is dead as soon as the coordinator has answered.
 *
 * @see coordinator-protocol 3.5
 */
export async function resetRunnerToken(
  context: CallContext,
  lastUpdates: LastUpdates,
  runner: RunnerCredentials,
  options: CallOptions = {},
): Promise<RegisterRunnerResult> {
  const path = "runners/reset_authentication_token";
  const request: CallRequest = {
    method: "POST",
    path,
    endpoint: path,
    // The token travels in the body alone.
    headers: { accept: "application/json", "content-type": "application/json" },
    body: jsonBody({ token: runner.token.reveal() }),
    jsonStatus: 201,
    secrets: [runner.token],
    signal: options.signal,
  };
  const result = await exchange(context, request);
  if (result.runner !== undefined) lastUpdates.forget(runner.token.reveal());
  return result;
}

/**
 * Exchanges the token of any runner that the owner of an access token may manage.
 *
 * @see coordinator-protocol 3.5
 */
export async function resetTokenByAccessToken(
  context: CallContext,
  { id, accessToken }: ResetTokenRequest,
  options: CallOptions = {},
): Promise<RegisterRunnerResult> {
  const result = await exchange(context, {
    method: "POST",
    path: `runners/${id}/reset_authentication_token`,
    endpoint: "runners/{id}/reset_authentication_token",
    headers: {
      accept: "application/json",
      "content-type": "application/json",
      "private-token": accessToken.reveal(),
    },
    body: jsonBody(null),
    jsonStatus: 201,
    secrets: [accessToken],
    signal: options.signal,
  });
  return result.runner === undefined ? result : { ...result, runner: { ...result.runner, id } };
}

async function exchange(context: CallContext, request: CallRequest): Promise<RegisterRunnerResult> {
  const { answer, registration } = decodeRegistration(context, request, await call(context, request), ["token"]);
  if (registration === undefined) {
    logEnd(context, "error", "The runner's token could not be reset", request, answer);
    return { ...answer.facts, runner: undefined };
  }
  return {
    ...answer.facts,
    runner: {
      id: registration.id,
      token: new Secret(registration.token),
      tokenObtainedAt: wholeSeconds(context.now()),
      tokenExpiresAt: registration.tokenExpiresAt,
    },
  };
}
