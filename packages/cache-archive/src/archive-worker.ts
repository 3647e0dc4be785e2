// What each thread of the pool runs. The only place that knows all kinds of tasks.
import { parentPort } from "node:worker_threads";

import { serveJobs } from "./engine/serve-jobs.ts";
import type { ThreadTaskHandler } from "./engine/task.ts";
import type { TreeTask } from "./manifest/tree-task.ts";
import { stagingHandler } from "./restore/staging-task.ts";
import { tarPackHandler } from "./tar/pack-task.ts";
import { tarPlanHandler, tarUnpackHandler } from "./tar/restore-tasks.ts";
import { zipPackHandler } from "./zip/pack-task.ts";
import { zipPlanHandler, zipUnpackHandler } from "./zip/restore-tasks.ts";

/** Loaded when it is needed: no archive waits for the library of hashes, which takes longest of all to load. */
const treeHandler: ThreadTaskHandler<TreeTask> = {
  kinds: ["observe-tree", "record-tree", "compare-tree"] satisfies TreeTask["kind"][],
  open: async (task, control) => (await import("./manifest/tree-runner.ts")).treeHandler.open(task, control),
};

if (parentPort !== null) {
  serveJobs(parentPort, [
    zipPackHandler,
    zipPlanHandler,
    zipUnpackHandler,
    tarPackHandler,
    tarPlanHandler,
    tarUnpackHandler,
    treeHandler,
    stagingHandler,
  ]);
}
