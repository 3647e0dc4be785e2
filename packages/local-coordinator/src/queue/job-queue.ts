import type { JobRecord } from "../jobs/job-record.ts";
import type { Runner, RunnerRegistry } from "../runners/runner-registry.ts";

/** Jobs that a runner may take, oldest first. */
export interface JobQueue {
  add(record: JobRecord): void;
  remove(record: JobRecord): void;
  /** The first job for this runner; it stays queued until its state changes. */
  first(runner: Runner): JobRecord | undefined;
  readonly size: number;
}

export function createJobQueue(runners: RunnerRegistry): JobQueue {
  const pending = new Set<JobRecord>();
  return {
    add: (record) => {
      pending.add(record);
      runners.announce((runner) => suits(record, runner));
    },
    remove: (record) => {
      pending.delete(record);
    },
    first: (runner) => {
      for (const record of pending) if (suits(record, runner)) return record;
      return undefined;
    },
    get size() {
      return pending.size;
    },
  };
}

function suits({ definition }: JobRecord, runner: Runner): boolean {
  if (definition.ignoreTags) return true;
  if (definition.tags.length === 0) return runner.runUntagged;
  return definition.tags.every((tag) => runner.tags.includes(tag));
}
