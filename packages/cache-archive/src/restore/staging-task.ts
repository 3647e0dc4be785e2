import type { JobControl } from "../engine/control.ts";
import type { Task, TaskHandler } from "../engine/task.ts";
import type { UnitRunner } from "../engine/unit-runner.ts";
import { inTurns } from "../turn.ts";
import { clearStaging } from "./clear-staging.ts";
import { finishPlacing } from "./place.ts";

/** Asks for a staging folder to be completed, or to be removed. */
export interface StagingTask extends Task {
  readonly kind: "clear-staging" | "finish-placing";
  readonly root: string;
  readonly staging: string;
}

/** @returns of `finish-placing`: whether there was something to complete */
export function stepsOf({ kind, root, staging }: StagingTask): Generator<void, boolean | void> {
  return kind === "clear-staging" ? clearStaging(root, staging) : finishPlacing(root, staging);
}

export const stagingHandler: TaskHandler<StagingTask> = {
  kinds: ["clear-staging", "finish-placing"] satisfies StagingTask["kind"][],
  open: (task, control) => new StagingRunner(task, control),
};

class StagingRunner implements UnitRunner {
  readonly #task: StagingTask;
  readonly #control: JobControl;
  result: unknown;

  constructor(task: StagingTask, control: JobControl) {
    this.#task = task;
    this.#control = control;
  }

  async run(): Promise<void> {
    this.result = await inTurns(stepsOf(this.#task), undefined);
    this.#control.finish();
  }

  settle(): void {
    // Nothing is held back.
  }
}
