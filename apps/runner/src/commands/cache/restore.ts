import { restoreCaches } from "@fleetfoot/job-runner";
import { openCacheStage } from "../../cache/stage-options.ts";
import type { CommandAction } from "../../command.ts";

/** Restores files of a project as a job's cache stage does. */
export const cacheRestore: CommandAction = async (invocation, context) => {
  const stage = await openCacheStage(invocation, context);
  try {
    await restoreCaches(stage.options);
  } finally {
    stage.close();
  }
  return invocation.flag("fail-on-miss") && stage.event()?.kind !== "hit" ? 1 : 0;
};
