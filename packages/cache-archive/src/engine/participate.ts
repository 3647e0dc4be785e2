import { ZipPacker } from "../zip/packer.ts";
import type { PackZipTask } from "../zip/packer.ts";
import { RestoreRunner } from "../restore/restore-runner.ts";
import { ZipUnpacker } from "../zip/unpacker.ts";
import type { UnpackZipTask } from "../zip/unpacker.ts";
import type { JobControl } from "./control.ts";
import { JobAborted } from "./job-aborted.ts";
import type { UnitRunner } from "./unit-runner.ts";

/** What a job is about. Everything in it can be sent to another thread. */
export type Task = PackZipTask | UnpackZipTask;

/**
 * Does units of a job until none is left, until the job is aborted, or until this participant has to leave.
 *
 * @param participant - number in the job, from 0
 * @param pause - called after each unit
 */
export async function participate(
  task: Task,
  control: JobControl,
  participant: number,
  pause?: () => Promise<void> | undefined,
): Promise<void> {
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
  } catch (error) {
    control.abort();
    if (!(error instanceof JobAborted)) throw error;
  }
}

function openTask(task: Task, control: JobControl): UnitRunner {
  if (task.kind === "pack-zip") return new ZipPacker(task, control);
  return new RestoreRunner(task, control, (context) => new ZipUnpacker(task, context));
}
