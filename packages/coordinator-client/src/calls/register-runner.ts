import type {
  CallOptions,
  RegisterRunnerRequest,
  RegisterRunnerResult,
  RunnerCredentials,
  VerifyRunnerResult,
} from "../client.ts";
import type { CallFacts } from "../results.ts";
import { encodeRunnerInfo } from "../runner-info.ts";
import { Secret } from "../secret.ts";
import type { CallContext, CallRequest } from "./exchange.ts";
import { call, jsonBody } from "./call.ts";
import { logEnd } from "./wording.ts";
import { decodeRegistration } from "./registration.ts";

/** Makes a new runner by a registration token. @see coordinator-protocol 3.1 */
export async function registerRunner(
  context: CallContext,
  registration: RegisterRunnerRequest,
  options: CallOptions = {},
): Promise<RegisterRunnerResult> {
  const token = registration.token.reveal();
  const request: CallRequest = {
    method: "POST",
    path: "runners",
    endpoint: "runners",
    headers: { accept: "application/json", "content-type": "application/json", "runner-token": token },
    body: jsonBody(encodeRegistration(context, registration, token)),
    jsonStatus: 201,
    secrets: [registration.token],
    signal: options.signal,
  };
  const { answer, registration: created } = decodeRegistration(context, request, await call(context, request), [
    "token",
  ]);
  if (created === undefined) {
    logEnd(context, "error", "The runner could not be registered", request, answer);
    return { ...answer.facts, message: answer.facts.message || unexpected(answer.statusLine), runner: undefined };
  }
  const runner = {
    id: created.id,
    token: new Secret(created.token),
    tokenObtainedAt: wholeSeconds(context.now()),
    tokenExpiresAt: created.tokenExpiresAt,
  };
  return { ...answer.facts, runner };
}

/**
 * Turns the verification of a token into a registration: a token of the new kind needs an id, one of an older server
 * may do without.
 *
 * @see coordinator-protocol 3.2
 */
export function adoptVerified(
  context: CallContext,
  runner: RunnerCredentials,
  verified: VerifyRunnerResult,
): RegisterRunnerResult {
  const { outcome, id = 0, tokenExpiresAt, ...facts } = verified;
  if (outcome !== "valid") {
    return { ...facts, runner: undefined };
  }
  if (id === 0 && isAuthenticationToken(runner.token)) {
    const message = "The coordinator accepts the token but names no runner id; it is too old for this kind of token.";
    context.logger.error("The runner could not be registered", closing(facts, message));
    return { ...facts, message, runner: undefined };
  }
  return {
    ...facts,
    runner: { id, token: runner.token, tokenObtainedAt: wholeSeconds(context.now()), tokenExpiresAt },
  };
}

/** Whether a token belongs to a runner that was made on the server. */
export function isAuthenticationToken(token: Secret): boolean {
  return token.reveal().startsWith("glrt-");
}

function closing(facts: CallFacts, message: string): Readonly<Record<string, unknown>> {
  const { status, attempts, requestId } = facts;
  return { method: "POST", path: "runners/verify", status, attempts, requestId, error: message };
}

function encodeRegistration(context: CallContext, registration: RegisterRunnerRequest, token: string): unknown {
  const { description, maintenanceNote, tags = [], accessLevel, maximumTimeoutSeconds } = registration;
  const { name, version, revision = "", platform = "", architecture = "" } = context.info;
  return {
    description: description || undefined,
    maintenance_note: maintenanceNote || undefined,
    tag_list: tags.join(",") || undefined,
    run_untagged: tags.length === 0 || (registration.runUntagged ?? false),
    locked: registration.locked ?? true,
    access_level: accessLevel,
    maximum_timeout: maximumTimeoutSeconds || undefined,
    paused: registration.paused ?? false,
    // Which executor the runner will use is not known yet, nor what it can do.
    info: encodeRunnerInfo({ name, version, revision, platform, architecture }),
    token: token || undefined,
  };
}

function unexpected(line: string): string {
  return `The coordinator answered ${line}, which makes no runner.`;
}

/** A time as the configuration keeps it: `2026-11-21T10:00:00Z`. */
export function wholeSeconds(epochMs: number): string {
  return new Date(epochMs).toISOString().replace(/\.\d+Z$/, "Z");
}
