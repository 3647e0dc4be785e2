import { type ChildProcess, spawn, type SpawnOptions } from "node:child_process";
import type { GroupRecords } from "./group-records.ts";

/** Starts processes, and knows which of them run. */
export interface ChildGroups {
  readonly spawn: (command: string, args: readonly string[], options: SpawnOptions) => ChildProcess;
  /** Kills those that lead a group (`detached`), each with its group, before it returns. */
  killAll(): void;
}

/** @param records - told of every group that is started, and of its end; without, nobody is */
export function trackChildGroups(records?: Pick<GroupRecords, "add">): ChildGroups {
  const running = new Set<ChildProcess>();
  return {
    spawn(command, args, options) {
      const child = spawn(command, args, options);
      if (child.pid !== undefined) {
        running.add(child);
        child.once("exit", () => running.delete(child));
        if (options.detached === true && records !== undefined) {
          const remove = records.add(child.pid);
          // Not before whoever holds its output has ended, too.
          child.once("close", remove);
        }
      }
      return child;
    },
    killAll() {
      for (const { pid } of running) if (pid !== undefined) killGroup(pid);
    },
  };
}

function killGroup(leader: number): void {
  try {
    process.kill(-leader, "SIGKILL");
  } catch (error) {
    // It has just ended (some systems say "not permitted" while only zombies are left), or it leads no group.
    if (!(error instanceof Error && "code" in error && (error.code === "ESRCH" || error.code === "EPERM"))) throw error;
  }
}
