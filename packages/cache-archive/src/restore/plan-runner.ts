import type { ArchiveFile } from "../archive-file.ts";
import { StepsRunner } from "../engine/steps-runner.ts";
import type { Task, TaskHandler } from "../engine/task.ts";
import type { RestoreLimits } from "./restore-plan.ts";

/** Asks for the plan of a restore. */
export interface PlanTask extends Task {
  readonly file: ArchiveFile;
  readonly limits: RestoreLimits;
}

/** Plans the restore of one format, in steps of less than a few milliseconds. */
type PlanSteps<T> = (file: ArchiveFile, limits: RestoreLimits) => Generator<void, T>;

/** Plans on a thread, or right here. */
export interface PlanHandler<T> extends TaskHandler<PlanTask> {
  readonly steps: PlanSteps<T>;
  /** Whether each step is short for this archive, so that the main thread can take them. */
  readonly isShort: (file: ArchiveFile) => boolean;
}

export function planHandler<T>(
  kind: string,
  steps: PlanSteps<T>,
  isShort: (file: ArchiveFile) => boolean,
): PlanHandler<T> {
  const open: PlanHandler<T>["open"] = ({ file, limits }, control) => new StepsRunner(steps(file, limits), control);
  return { kinds: [kind], steps, isShort, open };
}
