// What each thread of the pool runs. The only place that knows all kinds of tasks.
import { parentPort } from "node:worker_threads";

import { serveJobs } from "./engine/serve-jobs.ts";
import { treeHandler } from "./manifest/tree-runner.ts";
import { stagingHandler } from "./restore/staging-task.ts";
import { tarPackHandler, tarPlanHandler, tarUnpackHandler } from "./tar/tasks.ts";
import { zipPackHandler, zipPlanHandler, zipUnpackHandler } from "./zip/tasks.ts";

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
