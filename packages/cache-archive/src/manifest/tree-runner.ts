import { StepsRunner } from "../engine/steps-runner.ts";
import type { TaskHandler } from "../engine/task.ts";
import { treeSteps } from "./tree-task.ts";
import type { TreeTask } from "./tree-task.ts";

export const treeHandler: TaskHandler<TreeTask> = {
  kinds: ["observe-tree", "record-tree", "compare-tree"],
  open: (task, control) => new StepsRunner(treeSteps(task), control),
};
