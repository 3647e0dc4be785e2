import type { TaskHandler } from "../engine/task.ts";
import { ZipPacker } from "./packer.ts";
import type { PackZipTask } from "./packer.ts";

export const zipPackHandler: TaskHandler<PackZipTask> = {
  kinds: ["pack-zip"],
  open: (task, control) => new ZipPacker(task, control),
};
