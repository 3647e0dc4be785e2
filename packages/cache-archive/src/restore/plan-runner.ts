import type { ArchiveFile } from "../archive-file.ts";
import type { JobControl } from "../engine/control.ts";
import { JobAborted } from "../engine/job-aborted.ts";
import type { Task, TaskHandler } from "../engine/task.ts";
import type { UnitRunner } from "../engine/unit-runner.ts";
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
  isShort: (file: ArchiveFile) => boolean = () => true,
): PlanHandler<T> {
  const open: PlanHandler<T>["open"] = ({ file, limits }, control) => new PlanRunner(steps(file, limits), control);
  return { kinds: [kind], steps, isShort, open };
}

/** Plans a restore in one unit: tens of thousands of entries are too much for the main thread. */
class PlanRunner implements UnitRunner {
  readonly #steps: Generator<void, unknown>;
  readonly #control: JobControl;
  result: unknown;

  constructor(steps: Generator<void, unknown>, control: JobControl) {
    this.#steps = steps;
    this.#control = control;
  }

  run(): undefined {
    for (let step = this.#steps.next(); ; step = this.#steps.next()) {
      if (this.#control.isAborted) throw new JobAborted();
      if (step.done !== true) continue;
      this.result = step.value;
      break;
    }
    this.#control.finish();
  }

  settle(): void {
    // Nothing is held back.
  }
}
