import type { Core } from "../core.ts";
import type { JobRecord } from "../jobs/job-record.ts";
import { isExecuting } from "../jobs/job-state.ts";
import { failureReasons } from "../jobs/failure-reasons.ts";
import type { FinalUpdate } from "../jobs/job-view.ts";
import { awaitConfirmation } from "../queue/hand-out.ts";
import { jsonAnswer, refusal } from "./answers.ts";
import { findJob, jobStatusHeader, refuseUnlessExecuting } from "./job-access.ts";
import type { JsonObject } from "./read-body.ts";
import { asObject, asText, readJson } from "./read-body.ts";

/** @see coordinator-protocol 4.6, 6.2 */
export async function updateJob(core: Core, request: Request, id: number): Promise<Response> {
  const body = await readJson(request, maxBodyBytes);
  if (body === "too-large") return refusal(413, "Request Entity Too Large");
  if (body === "invalid") return refusal(400, "Bad request - the body is not JSON");
  const record = findJob(core, id, request, asText(body["token"]));
  if (record instanceof Response) return record;
  if (record.state === "held") return answerUnconfirmed(core, record, body["state"]);

  const refused = refuseUnlessExecuting(record);
  if (refused !== undefined) return refused;
  switch (body["state"]) {
    case "running":
      return updated(record);
    case "pending":
      return refusal(409, "Conflict - the job runs already", jobStatusHeader(record));
    case "success":
    case "failed":
      // What arrived first is in the file first, and the job is over only when its log is safe.
      await (core.keeper.isLasting ? record.trace.sync() : record.trace.read(0, 0));
      if (!isExecuting(record.state)) return refuseUnlessExecuting(record) ?? updated(record);
      finish(core, record, body["state"], body);
      return updated(record);
    default:
      return refusal(400, "Bad request - state is invalid", jobStatusHeader(record));
  }
}

function answerUnconfirmed(core: Core, record: JobRecord, state: unknown): Response {
  if (state === "running") {
    core.jobs.apply(record, "confirm");
    return updated(record);
  }
  if (state === "pending") {
    awaitConfirmation(core, record);
    return updated(record);
  }
  return refusal(400, "Bad request - the job was not confirmed", jobStatusHeader(record));
}

function finish(core: Core, record: JobRecord, state: "success" | "failed", body: JsonObject): void {
  const output = asObject(body["output"]);
  const checksum = asText(output["checksum"]) ?? asText(body["checksum"]);
  const bytes = asNumber(output["bytesize"]);
  const exitCode = asNumber(body["exit_code"]);
  const reason = asText(body["failure_reason"]);
  const failureReason = state === "failed" ? knownReason(reason) : undefined;
  const finalUpdate: FinalUpdate = {
    state,
    failureReason: reason,
    exitCode,
    checksum,
    bytes,
    traceMatches:
      checksum === undefined ? undefined : checksum === record.trace.checksum && (bytes ?? 0) === record.trace.size,
  };
  record.finalUpdate = finalUpdate;
  if (finalUpdate.traceMatches === false) {
    core.settings.logger.warn("stored log differs from what the runner sent", {
      job: record.id,
      checksum,
      bytes,
      storedChecksum: record.trace.checksum,
      storedBytes: record.trace.size,
    });
  }
  core.jobs.apply(record, state === "success" ? "succeed" : "fail", { failureReason, exitCode });
}

function updated(record: JobRecord): Response {
  return jsonAnswer(200, 200, jobStatusHeader(record));
}

function knownReason(reason: string | undefined): string {
  if (reason === undefined) return "script_failure";
  return failureReasons.includes(reason) ? reason : "unknown_failure";
}

function asNumber(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) ? value : undefined;
}

const maxBodyBytes = 1024 * 1024;
