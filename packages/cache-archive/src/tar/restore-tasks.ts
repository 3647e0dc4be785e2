import type { TaskHandler } from "../engine/task.ts";
import { planHandler } from "../restore/plan-runner.ts";
import type { PlanHandler } from "../restore/plan-runner.ts";
import { RestoreRunner } from "../restore/restore-runner.ts";
import { isShortFrameIndex } from "./frame-index.ts";
import { planTarRestore } from "./plan-restore.ts";
import type { TarSchedule } from "./plan-restore.ts";
import { TarUnpacker } from "./unpacker.ts";
import type { UnpackTarTask } from "./unpacker.ts";

/** Plans to `undefined` for an archive without index. */
export const tarPlanHandler: PlanHandler<TarSchedule | undefined> = planHandler(
  "plan-tar",
  planTarRestore,
  isShortFrameIndex,
);

export const tarUnpackHandler: TaskHandler<UnpackTarTask> = {
  kinds: ["unpack-tar"],
  open: (task, control) => new RestoreRunner(task, control, (context) => new TarUnpacker(task, context)),
};
