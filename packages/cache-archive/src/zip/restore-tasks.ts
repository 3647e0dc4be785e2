import type { TaskHandler } from "../engine/task.ts";
import { planHandler } from "../restore/plan-runner.ts";
import type { PlanHandler } from "../restore/plan-runner.ts";
import { RestoreRunner } from "../restore/restore-runner.ts";
import { isShortDirectory } from "./directory.ts";
import { planZipRestore } from "./plan-restore.ts";
import type { RestoreSchedule } from "./plan-restore.ts";
import { ZipUnpacker } from "./unpacker.ts";
import type { UnpackZipTask } from "./unpacker.ts";

export const zipPlanHandler: PlanHandler<RestoreSchedule> = planHandler("plan-zip", planZipRestore, isShortDirectory);

export const zipUnpackHandler: TaskHandler<UnpackZipTask> = {
  kinds: ["unpack-zip"],
  open: (task, control) => new RestoreRunner(task, control, (context) => new ZipUnpacker(task, context)),
};
