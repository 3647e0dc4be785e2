import type { ArchiveFile } from "../archive-file.ts";
import type { JobControl } from "../engine/control.ts";
import { JobAborted } from "../engine/job-aborted.ts";
import type { UnitRunner } from "../engine/unit-runner.ts";
import type { RestoreLimits } from "../restore-plan.ts";
import { planTarRestore } from "../tar/plan-restore.ts";
import { planZipRestore } from "../zip/plan-restore.ts";

/** Asks for the plan of a restore. */
export interface PlanTask {
  readonly kind: "plan-zip" | "plan-tar";
  readonly file: ArchiveFile;
  readonly limits: RestoreLimits;
}

/** Plans a restore in one unit: tens of thousands of entries are too much for the main thread. */
export class PlanRunner implements UnitRunner {
  readonly #task: PlanTask;
  readonly #control: JobControl;
  result: unknown;

  constructor(task: PlanTask, control: JobControl) {
    this.#task = task;
    this.#control = control;
  }

  run(): undefined {
    const { kind, file, limits } = this.#task;
    const steps: Generator<void, unknown> =
      kind === "plan-zip" ? planZipRestore(file, limits) : planTarRestore(file, limits);
    for (let step = steps.next(); ; step = steps.next()) {
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
