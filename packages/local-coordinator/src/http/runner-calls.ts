import type { Core } from "../core.ts";
import type { Runner } from "../runners/runner-registry.ts";
import { tokenExpiry } from "../runners/runner-registry.ts";
import { emptyAnswer, jsonAnswer, refusal } from "./answers.ts";
import type { JsonObject } from "./read-body.ts";
import { asObject, asText, readJson } from "./read-body.ts";

/** @see coordinator-protocol 3.1 */
export async function register(core: Core, request: Request): Promise<Response> {
  const body = await readRunnerBody(request);
  if (body instanceof Response) return body;
  const { registrationToken } = core.settings;
  if (registrationToken === undefined) return refusal(410, "Gone - registration tokens are not used here");
  if (body["token"] !== registrationToken) return refusal(403, "Forbidden - invalid registration token");
  const tags = (asText(body["tag_list"]) ?? "")
    .split(",")
    .map((tag) => tag.trim())
    .filter((tag) => tag !== "");
  const runUntagged = body["run_untagged"] !== false;
  if (tags.length === 0 && !runUntagged) {
    const reason = "can not be empty when runner is not allowed to pick untagged jobs";
    return jsonAnswer(400, { message: { tags_list: [reason] } });
  }
  const description = asText(body["description"]);
  const runner = core.runners.create({
    // Without the prefix of tokens that are made on the server: such a runner unregisters as a whole.
    token: core.settings.randomHex(10),
    ...(description === undefined ? {} : { description }),
    tags,
    runUntagged,
    // Runners before 15 say it the other way round.
    paused: body["paused"] === true || body["active"] === false,
  });
  return jsonAnswer(201, { id: runner.id, token: runner.token, token_expires_at: tokenExpiry(runner) });
}

/** @see coordinator-protocol 3.3 */
export async function verify(core: Core, request: Request): Promise<Response> {
  const found = await findRunner(core, request);
  if (found instanceof Response) return found;
  const { runner, body } = found;
  rememberMachine(core, runner, body);
  return jsonAnswer(200, { id: runner.id, token: runner.token, token_expires_at: tokenExpiry(runner) });
}

/** @see coordinator-protocol 3.4 */
export async function unregister(core: Core, request: Request): Promise<Response> {
  const found = await findRunner(core, request);
  if (found instanceof Response) return found;
  core.runners.remove(found.runner);
  return emptyAnswer(204);
}

/** @see coordinator-protocol 3.4 */
export async function unregisterManager(core: Core, request: Request): Promise<Response> {
  const found = await findRunner(core, request);
  if (found instanceof Response) return found;
  const systemId = asText(found.body["system_id"]);
  if (systemId === undefined) return refusal(400, "Bad request - system_id is missing");
  return core.runners.forget(found.runner, systemId) ? emptyAnswer(204) : refusal(404, "Runner manager not found");
}

/** @see coordinator-protocol 3.5 */
export async function resetToken(core: Core, request: Request): Promise<Response> {
  const found = await findRunner(core, request);
  if (found instanceof Response) return found;
  core.runners.renewToken(found.runner);
  const expiresAt = tokenExpiry(found.runner);
  return jsonAnswer(201, { token: found.runner.token, ...(expiresAt === null ? {} : { token_expires_at: expiresAt }) });
}

/** The runner whose token the body holds, or the answer for one that is not known. */
export async function findRunner(
  core: Core,
  request: Request,
): Promise<{ readonly runner: Runner; readonly body: JsonObject } | Response> {
  const body = await readRunnerBody(request);
  if (body instanceof Response) return body;
  const runner = core.runners.byToken(body["token"]);
  return runner === undefined ? refusal(403, "Forbidden") : { runner, body };
}

/** Notes which machine uses the token and what it can do; returns the features. */
export function rememberMachine(core: Core, runner: Runner, body: JsonObject): Readonly<Record<string, boolean>> {
  const systemId = asText(body["system_id"]) ?? "";
  const named = Object.entries(asObject(asObject(body["info"])["features"]));
  const features = Object.fromEntries(named.map(([feature, value]) => [feature, value === true]));
  if (systemId !== "" && systemId.length <= maxSystemIdLength) core.runners.remember(runner, systemId, features);
  return features;
}

async function readRunnerBody(request: Request): Promise<JsonObject | Response> {
  const body = await readJson(request, maxBodyBytes);
  if (body === "too-large") return refusal(413, "Request Entity Too Large");
  return body === "invalid" ? refusal(400, "Bad request - the body is not JSON") : body;
}

/** The reference server's limit. */
const maxSystemIdLength = 64;
/** The limit of the proxy in front of the reference server. */
const maxBodyBytes = 32 * 1024;
