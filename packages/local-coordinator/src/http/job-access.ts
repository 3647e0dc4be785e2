import type { Core } from "../core.ts";
import type { JobRecord } from "../jobs/job-record.ts";
import { isExecuting, statusOf } from "../jobs/job-state.ts";
import { refusal } from "./answers.ts";

/**
 * The job whose own token the request carries, or the answer for a wrong token; an unknown job gets the same one.
 *
 * @param token - from the body, when there is one; otherwise the header counts
 */
export function findJob(core: Core, id: number, request: Request, token?: string): JobRecord | Response {
  const given = token ?? request.headers.get("job-token") ?? "";
  const record = core.jobs.get(id);
  if (record === undefined || given === "" || record.token !== given) return refusal(403, "Forbidden");
  record.lastSeenAtMs = core.settings.now();
  return record;
}

/** The answer for a job that no runner works on, which says what became of it; undefined for one that is worked on. */
export function refuseUnlessExecuting(record: JobRecord): Response | undefined {
  if (isExecuting(record.state)) return undefined;
  return refusal(403, "Forbidden - Job is not running", jobStatusHeader(record));
}

export function jobStatusHeader(record: JobRecord): Readonly<Record<string, string>> {
  return { "Job-Status": statusOf(record.state) };
}
