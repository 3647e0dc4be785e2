import { printablePath } from "@fleetfoot/cache-archive";
import { restoreCaches } from "@fleetfoot/job-runner";
import { hostShelf } from "../../cache/host-shelf.ts";
import { cachePlace } from "../../cache/place.ts";
import { isKeyOfJobs } from "../../cache/shelf.ts";
import { openCacheStage } from "../../cache/stage-options.ts";
import type { CommandAction, Invocation } from "../../command.ts";
import type { CliContext } from "../../context.ts";

const WHEN_ABANDONED =
  "The cache is not restored; what was begun is removed or completed by the next fleetfoot cache create or restore, or by the next job.";

/** Restores files of a project as a job's cache stage does. */
export const cacheRestore: CommandAction = async (invocation, context) => {
  const stage = await openCacheStage(invocation, context, WHEN_ABANDONED);
  try {
    await restoreCaches(stage.options);
  } finally {
    stage.close();
  }
  const event = stage.event();
  if (event?.kind === "hit") return 0;
  if (event?.hasFailed === true) return 1;
  await tellKeysOfJobs(invocation, context);
  return invocation.flag("fail-on-miss") ? 1 : 0;
};

/** Who reads a pipeline sees the key without what coordinators append. */
async function tellKeysOfJobs(invocation: Invocation, context: CliContext): Promise<void> {
  if (invocation.text("runner") !== undefined) return;
  const shelf = hostShelf(cachePlace(invocation, context).projectCacheDirectory);
  const keys = [invocation.text("key") ?? "", ...invocation.texts("fallback-key")];
  const meant: string[] = [];
  for await (const { name } of shelf.list("", context.stop.forced)) {
    if (keys.some((key) => isKeyOfJobs(name, key))) meant.push(printablePath(name));
  }
  if (meant.length > 0) context.stderr.write(`Jobs have saved ${meant.join(", ")}; --key takes the whole key.\n`);
}
