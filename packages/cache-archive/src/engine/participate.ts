import type { JobControl } from "./control.ts";
import { JobAborted } from "./job-aborted.ts";
import type { UnitRunner } from "./unit-runner.ts";

/**
 * Does units of a job until none is left, until the job is aborted, or until this participant has to leave.
 *
 * @param open - whoever does the units
 * @param participant - number in the job, from 0
 * @param pause - called after each unit
 * @returns what the job computes; most jobs compute nothing
 */
export async function participate(
  open: () => UnitRunner | Promise<UnitRunner>,
  control: JobControl,
  participant: number,
  pause?: () => Promise<void> | undefined,
): Promise<unknown> {
  try {
    const runner = await open();
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
