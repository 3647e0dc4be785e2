import { join, resolve } from "node:path";
import { createLocalCoordinator } from "@fleetfoot/local-coordinator";
import type { CommandAction } from "../../command.ts";
import { LOCAL_PROJECT_ID } from "../../project/facts.ts";
import { lockState } from "../../project/lock-state.ts";
import { DEFAULT_STATE_DIRECTORY, makeStateDirectory } from "../../project/state-directory.ts";

/** Gives every cache key of local runs another name from now on, as "Clear runner caches" does on an instance. Removes nothing. */
export const cacheClear: CommandAction = async (invocation, context) => {
  const directory = resolve(context.workingDirectory, invocation.text("directory") ?? ".");
  const stateDirectory = resolve(directory, invocation.text("state-dir") ?? DEFAULT_STATE_DIRECTORY);
  await makeStateDirectory(stateDirectory);
  const lock = await lockState(stateDirectory, "pipeline");
  try {
    const coordinator = createLocalCoordinator({ stateDirectory: join(stateDirectory, "coordinator") });
    try {
      const index = await coordinator.clearCaches(LOCAL_PROJECT_ID);
      context.stdout.write(`Cache keys end in -${index} from now on: the next run begins without caches.\n`);
      context.stderr.write("The old caches are still there; fleetfoot cache prune removes them.\n");
      return 0;
    } finally {
      await coordinator.close();
    }
  } finally {
    await lock.release();
  }
};
