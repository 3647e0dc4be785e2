import { isMainThread } from "node:worker_threads";

import type { JobControl } from "../engine/control.ts";
import { JobAborted } from "../engine/job-aborted.ts";
import type { TaskHandler } from "../engine/task.ts";
import type { UnitRunner } from "../engine/unit-runner.ts";
import { inTurns } from "../turn.ts";
import { treeSteps } from "./tree-task.ts";
import type { TreeTask } from "./tree-task.ts";

export const treeHandler: TaskHandler<TreeTask> = {
  kinds: ["observe-tree", "record-tree", "compare-tree"],
  open: (task, control) => new TreeRunner(task, control),
};

/** Does a task about a whole tree in one unit. */
class TreeRunner implements UnitRunner {
  readonly #task: TreeTask;
  readonly #control: JobControl;
  result: unknown;

  constructor(task: TreeTask, control: JobControl) {
    this.#task = task;
    this.#control = control;
  }

  run(): Promise<void> | undefined {
    const steps = this.#steps();
    if (isMainThread) return inTurns(steps, undefined);
    while (steps.next().done !== true);
    return undefined;
  }

  *#steps(): Generator<void, void> {
    const steps = treeSteps(this.#task);
    try {
      for (let step = steps.next(); ; step = steps.next()) {
        if (this.#control.isAborted) throw new JobAborted();
        if (step.done === true) {
          this.result = step.value;
          break;
        }
        yield;
      }
    } finally {
      steps.return(undefined);
    }
    this.#control.finish();
  }

  settle(): void {
    // Nothing is held back.
  }
}
