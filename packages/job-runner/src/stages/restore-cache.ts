import { hasCacheWork, restoreCaches } from "../cache/index.ts";
import type { PreparedJob } from "../job-context.ts";
import { cacheOptions } from "./cache-options.ts";
import { withRetries } from "./retry.ts";
import { inStage } from "./stage.ts";

/** Restores the caches. A cache that is missing or broken is no failure. */
export async function restoreCache(job: PreparedJob): Promise<void> {
  if (!hasCacheWork(job.payload.cache)) return;
  const signal = job.signals.job;
  await withRetries(job, { attempts: job.plan.settings.restoreCacheAttempts, signal }, () =>
    inStage(job, { id: "restore_cache", heading: "Restoring cache" }, async () =>
      restoreCaches(await cacheOptions(job)),
    ),
  );
}
