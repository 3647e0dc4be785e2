import type { JobRecord } from "../jobs/job-record.ts";

/** Lets one job of each group run at a time; the others follow in the order in which they asked. */
export interface ResourceGroups {
  /** True when the job has the resource now; otherwise it gets it later, when `granted` is called for it. */
  acquire(group: string, record: JobRecord): boolean;
  /** Brings back claims of an earlier coordinator: who has a resource comes first. */
  restore(claims: readonly { readonly group: string; readonly record: JobRecord }[]): void;
  /** Gives up what the job has or waits for. */
  release(record: JobRecord): void;
}

export function createResourceGroups(granted: (record: JobRecord) => void): ResourceGroups {
  const lines = new Map<string, JobRecord[]>();
  const acquire = (group: string, record: JobRecord): boolean => {
    const line = lines.get(group) ?? [];
    lines.set(group, line);
    line.push(record);
    return line[0] === record;
  };
  return {
    acquire,
    restore: (claims) => {
      const waits = ({ record }: { readonly record: JobRecord }): number =>
        record.state === "waiting_for_resource" ? 1 : 0;
      for (const { group, record } of [...claims].sort((a, b) => waits(a) - waits(b) || a.record.id - b.record.id)) {
        acquire(group, record);
      }
    },
    release: (record) => {
      for (const [group, line] of lines) {
        const at = line.indexOf(record);
        if (at < 0) continue;
        line.splice(at, 1);
        const [next] = line;
        if (next === undefined) lines.delete(group);
        else if (at === 0) granted(next);
      }
    },
  };
}
