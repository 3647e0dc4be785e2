import { TarPacker } from "../tar/packer.ts";
import type { PackTarTask } from "../tar/packer.ts";
import { TarUnpacker } from "../tar/unpacker.ts";
import type { UnpackTarTask } from "../tar/unpacker.ts";
import { ZipPacker } from "../zip/packer.ts";
import type { PackZipTask } from "../zip/packer.ts";
import { PlanRunner } from "../restore/plan-runner.ts";
import type { PlanTask } from "../restore/plan-runner.ts";
import { RestoreRunner } from "../restore/restore-runner.ts";
import { ZipUnpacker } from "../zip/unpacker.ts";
import type { UnpackZipTask } from "../zip/unpacker.ts";
import { TreeRunner } from "../manifest/tree-runner.ts";
import type { TreeTask } from "../manifest/tree-task.ts";
import type { JobControl } from "./control.ts";
import { JobAborted } from "./job-aborted.ts";
import type { UnitRunner } from "./unit-runner.ts";

/** What a job is about. Everything in it can be sent to another thread. */
export type Task = PackTarTask | PackZipTask | PlanTask | TreeTask | UnpackTarTask | UnpackZipTask;

/**
 * Does units of a job until none is left, until the job is aborted, or until this participant has to leave.
 *
 * @param participant - number in the job, from 0
 * @param pause - called after each unit
 * @returns what the job computes; most jobs compute nothing
 */
export async function participate(
  task: Task,
  control: JobControl,
  participant: number,
  pause?: () => Promise<void> | undefined,
): Promise<unknown> {
  try {
    const runner = openTask(task, control);
    for (;;) {
      const unit = control.claim(participant, () => runner.settle());
      if (unit === undefined) break;
      const work = runner.run(unit);
      if (work !== undefined) await work;
      const rest = pause?.();
      if (rest !== undefined) await rest;
    }
    runner.settle();
    return runner.result;
  } catch (error) {
    control.fail();
    if (!(error instanceof JobAborted)) throw error;
    return undefined;
  }
}

function openTask(task: Task, control: JobControl): UnitRunner {
  switch (task.kind) {
    case "pack-zip":
      return new ZipPacker(task, control);
    case "pack-tar":
      return new TarPacker(task, control);
    case "plan-zip":
    case "plan-tar":
      return new PlanRunner(task, control);
    case "observe-tree":
    case "record-tree":
    case "compare-tree":
      return new TreeRunner(task, control);
    case "unpack-zip":
      return new RestoreRunner(task, control, (context) => new ZipUnpacker(task, context));
    case "unpack-tar":
      return new RestoreRunner(task, control, (context) => new TarUnpacker(task, context));
    default:
      throw new TypeError("unknown task");
  }
}
