import type { JobRecord } from "./job-record.ts";
import type { JobStore } from "./job-store.ts";

/** Cancels as gently as the job's runner allows. False when the job was over, or is being cancelled already. */
export function cancelRecord(jobs: JobStore, record: JobRecord, force: boolean): boolean {
  const gently = !force && record.features["cancel_gracefully"] === true;
  if (gently && jobs.apply(record, "cancel-gracefully")) return true;
  if (gently && record.state === "canceling") return false;
  return jobs.apply(record, "cancel");
}
