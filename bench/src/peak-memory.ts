import { readFile } from "node:fs/promises";

/**
 * The most memory that a process has had in use at a time, in megabytes.
 *
 * Not `process.resourceUsage().maxRSS`: Linux begins that with what the parent had in use when it started the process.
 */
export async function peakMemoryMb(processId: number | "self"): Promise<number> {
  const status = await readFile(`/proc/${processId}/status`, "utf8");
  return (Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]) * 1024) / 1e6;
}
