import type { TaskHandler } from "../engine/task.ts";
import { TarPacker } from "./packer.ts";
import type { PackTarTask } from "./packer.ts";

export const tarPackHandler: TaskHandler<PackTarTask> = {
  kinds: ["pack-tar"],
  open: (task, control) => new TarPacker(task, control),
};
