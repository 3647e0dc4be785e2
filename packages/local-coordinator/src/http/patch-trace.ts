import type { Core } from "../core.ts";
import type { JobRecord } from "../jobs/job-record.ts";
import { emptyAnswer, refusal } from "./answers.ts";
import { findJob, jobStatusHeader, refuseUnlessExecuting } from "./job-access.ts";
import { readBody } from "./read-body.ts";

/** @see coordinator-protocol 7.2 */
export async function patchTrace(core: Core, request: Request, id: number): Promise<Response> {
  const record = findJob(core, id, request);
  if (record instanceof Response) return record;
  const refused = refuseUnlessExecuting(record);
  if (refused !== undefined) return refused;
  const start = firstByte(request.headers.get("content-range"));
  if (start === undefined) return refusal(400, "Bad request - Content-Range is missing", jobStatusHeader(record));

  const received = await readBody(request, maxChunkBytes);
  if (received === undefined) return refusal(413, "Request Entity Too Large", jobStatusHeader(record));
  if (start === record.trace.size && start + received.length > core.settings.maxTraceBytes) {
    core.jobs.apply(record, "fail", {
      failureReason: "trace_size_exceeded",
      message: `the log is larger than ${core.settings.maxTraceBytes} bytes`,
    });
    return refusal(403, "Forbidden - the log is too large", jobStatusHeader(record));
  }
  // The job may have ended while the body came in.
  const ended = refuseUnlessExecuting(record);
  if (ended !== undefined) return ended;
  const bytes = withoutToken(received, record.token);
  const stored = await record.trace.append(start, bytes);
  if (!stored) return emptyAnswer(416, storedRange(record));
  if (start === 0 && new URL(request.url).searchParams.get("debug_trace") === "true") {
    record.traceRestricted = true;
    core.jobs.changed(record);
  }
  core.emit({ kind: "trace", jobId: id, offset: start, bytes });
  return emptyAnswer(202, {
    ...storedRange(record),
    "X-GitLab-Trace-Update-Interval": String(core.settings.traceUpdateIntervalSeconds),
  });
}

function storedRange(record: JobRecord): Readonly<Record<string, string>> {
  // The number of stored bytes, not the index of the last one: the protocol's own convention for this header.
  return { Range: `0-${record.trace.size}`, ...jobStatusHeader(record) };
}

function firstByte(contentRange: string | null): number | undefined {
  const start = /^(\d+)-/.exec(contentRange ?? "")?.[1];
  return start === undefined ? undefined : Number(start);
}

/** Runners mask it themselves; a foreign one may not. The size stays, so that offsets do. */
function withoutToken(bytes: Buffer, token: string | undefined): Buffer {
  if (token === undefined || bytes.indexOf(token) < 0) return bytes;
  const clean = Buffer.from(bytes);
  for (let at = clean.indexOf(token); at >= 0; at = clean.indexOf(token, at)) clean.fill("x", at, at + token.length);
  return clean;
}

/** What is held in memory of one request; runners send at most 1 MiB at a time. */
const maxChunkBytes = 16 * 1024 * 1024;
