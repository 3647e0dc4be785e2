import { hasCacheToSave, saveCaches } from "../cache/index.ts";
import type { PreparedJob } from "../job-context.ts";
import { cacheOptions } from "./cache-options.ts";
import { collectFiles } from "./collect-files.ts";
import { inStage } from "./stage.ts";

/** Saves the caches that fit the outcome. */
export async function saveCache(job: PreparedJob, succeeded: boolean): Promise<void> {
  if (!hasCacheToSave(job.payload.cache, succeeded)) return;
  const stage = succeeded
    ? { id: "archive_cache", heading: "Saving cache for successful job" }
    : { id: "archive_cache_on_failure", heading: "Saving cache for failed job" };
  await inStage(job, stage, async () => {
    await collectFiles(job, job.payload.cache);
    await saveCaches({ ...(await cacheOptions(job)), succeeded });
  });
}
