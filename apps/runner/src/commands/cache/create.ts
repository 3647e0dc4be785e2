import { saveCaches } from "@fleetfoot/job-runner";
import { openCacheStage } from "../../cache/stage-options.ts";
import type { CommandAction } from "../../command.ts";

const WHEN_ABANDONED = "The cache is not saved everywhere; where it is not, one that was there stays as it is.";

/** Saves files of a project as a job's cache stage does. */
export const cacheCreate: CommandAction = async (invocation, context) => {
  const stage = await openCacheStage(invocation, context, WHEN_ABANDONED);
  try {
    await saveCaches({ ...stage.options, succeeded: true });
  } finally {
    stage.close();
  }
  return stage.event()?.kind === "failed" ? 1 : 0;
};
