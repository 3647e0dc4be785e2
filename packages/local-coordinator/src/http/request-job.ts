import type { Core } from "../core.ts";
import { handOutJob } from "../queue/hand-out.ts";
import { waitForChange } from "../queue/wait-for-change.ts";
import { emptyAnswer, jsonAnswer, refusal } from "./answers.ts";
import { asText } from "./read-body.ts";
import { findRunner, rememberMachine } from "./runner-calls.ts";

/** @see coordinator-protocol 4.3, 4.5 */
export async function requestJob(core: Core, request: Request): Promise<Response> {
  const found = await findRunner(core, request);
  if (found instanceof Response) return found;
  const { runner, body } = found;
  const features = rememberMachine(core, runner, body);
  failLostJobs(core);
  if (runner.paused) return nothing(runner.version);

  const { settings } = core;
  if (body["last_update"] !== undefined && asText(body["last_update"]) === runner.version) {
    if (settings.holdMs === 0) return nothing(runner.version);
    if (settings.onWake === "ask-again" && isJson(request)) {
      await waitForChange(core, runner, settings.holdMs, request.signal);
      return emptyAnswer(204);
    }
  }
  const giveUpAtMs = settings.now() + settings.holdMs;
  for (;;) {
    // Noted before looking: what comes in while looking has another version.
    const { version } = runner;
    if (core.draining.aborted) return nothing(version);
    const job = await handOutJob(core, runner, features, request.signal);
    if (job !== undefined) return jsonAnswer(201, job);
    const leftMs = giveUpAtMs - settings.now();
    if (settings.onWake !== "assign" || leftMs <= 0) return nothing(version);
    if (runner.version === version && (await waitForChange(core, runner, leftMs, request.signal)) === "expired") {
      return nothing(version);
    }
    if (core.runners.byToken(runner.token) !== runner) return refusal(403, "Forbidden");
  }
}

function nothing(version: string): Response {
  return emptyAnswer(204, { "X-GitLab-Last-Update": version });
}

function isJson(request: Request): boolean {
  return request.headers.get("content-type")?.startsWith("application/json") === true;
}

/** Polls come all the time, so that this needs no clock of its own. */
function failLostJobs({ jobs, settings }: Core): void {
  const oldest = settings.now() - settings.lostJobTimeoutMs;
  for (const record of jobs.executing) {
    if (record.lastSeenAtMs >= oldest) continue;
    jobs.apply(record, "fail", {
      failureReason: "stuck_or_timeout_failure",
      message: "nothing was heard of the job's runner for too long",
    });
  }
}
