import { StepsRunner } from "../engine/steps-runner.ts";
import type { Task, TaskHandler } from "../engine/task.ts";
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
  open: (task, control) => new StepsRunner(stepsOf(task), control),
};
