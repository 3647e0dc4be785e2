import type { CallOptions, JobCredentials } from "../client.ts";
import type { Logger } from "../logger.ts";
import type { PatchTraceOutcome, PatchTraceResult, TraceChunk } from "../results.ts";
import type { CallContext, CallRequest } from "./exchange.ts";
import { call } from "./call.ts";
import { logEnd } from "./wording.ts";
import { readJobSignals } from "./job-signals.ts";

/**
 * Sends one piece of a trace.
 *
 * @throws {RangeError} the piece is empty
 * @see coordinator-protocol 7.1, 7.2
 */
export async function patchTrace(
  context: CallContext,
  job: JobCredentials,
  chunk: TraceChunk,
  options: CallOptions = {},
): Promise<PatchTraceResult> {
  const { offset, bytes, debugTrace = false } = chunk;
  if (bytes.length === 0) {
    throw new RangeError("An empty piece of a trace must not be sent");
  }
  const request: CallRequest = {
    method: "PATCH",
    path: `jobs/${job.id}/trace`,
    query: `?debug_trace=${debugTrace}`,
    endpoint: "jobs/{id}/trace",
    headers: {
      "content-type": "text/plain",
      "content-range": `${offset}-${offset + bytes.length - 1}`,
      "job-token": job.token.reveal(),
    },
    body: bytes,
    secrets: [job.token],
    signal: options.signal,
  };
  const answer = await call(context, request);
  const { ended, ...signals } = readJobSignals(answer, context.logger);
  const outcome = outcomeOf(answer.facts.status, ended);
  if (outcome !== "ok") {
    logEnd(context, LEVELS[outcome], TEXTS[outcome], request, answer);
  }
  return { ...answer.facts, ...signals, outcome, nextOffset: nextOffset(outcome, chunk, answer.header("range")) };
}

function outcomeOf(status: number, ended: boolean): PatchTraceOutcome {
  if (ended || status === 403) {
    return "abort";
  }
  switch (status) {
    case 202:
      return "ok";
    case 404:
      return "not-found";
    case 416:
      return "range-mismatch";
    default:
      return "failed";
  }
}

function nextOffset(outcome: PatchTraceOutcome, chunk: TraceChunk, range: string | undefined): number {
  if (outcome === "ok") {
    return chunk.offset + chunk.bytes.length;
  }
  return outcome === "range-mismatch" ? storedBytes(range) : chunk.offset;
}

/** The answer's `Range: 0-<n>` names the number of bytes stored, unlike the request's, which names the last one. */
function storedBytes(range: string | undefined): number {
  const stored = Number(/^[^-]*-(\d+)$/.exec(range ?? "")?.[1] ?? 0);
  return Number.isSafeInteger(stored) ? stored : 0;
}

const LEVELS: Readonly<Record<Exclude<PatchTraceOutcome, "ok">, keyof Logger>> = {
  abort: "warn",
  "not-found": "warn",
  "range-mismatch": "warn",
  failed: "error",
};

const TEXTS: Readonly<Record<Exclude<PatchTraceOutcome, "ok">, string>> = {
  abort: "Trace refused, the job is over for the coordinator",
  "not-found": "Trace refused, the coordinator does not find the job",
  "range-mismatch": "Trace refused, the coordinator has another part of it",
  failed: "Trace could not be sent",
};
