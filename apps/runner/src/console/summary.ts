import { relative } from "node:path";
import { styleText } from "node:util";
import type { JobView, PipelineResult } from "@fleetfoot/local-coordinator";
import type { Output } from "../context.ts";
import type { CacheCounts } from "./cache-counts.ts";
import { formatBytes, formatDuration } from "./format.ts";

/** What a local run ends with: each job, its time and its artifacts, what the caches did, and where everything lies. */
export function printSummary(summary: {
  readonly result: PipelineResult;
  /** Undefined where other processes see to the caches. */
  readonly caches?: CacheCounts;
  readonly hasUncommittedChanges: boolean;
  /** How many warnings about the configuration were shown before the first job. */
  readonly warningCount: number;
  readonly output: Output;
}): void {
  const { result, caches, output } = summary;
  const width = Math.max(3, ...result.jobs.map((job) => job.name.length));
  const line = (text = ""): void => output.write(`${text}\n`);

  line();
  for (const job of result.jobs) line(`${mark(job, output)} ${job.name.padEnd(width)}  ${describe(job)}`);
  line();
  for (const warning of result.warnings) line(`WARNING: ${warning}`);
  line(
    `Pipeline ${verdict(result)} in ${formatDuration(result.finishedAtMs - result.startedAtMs)}${summary.hasUncommittedChanges ? ", with uncommitted changes" : ""}.`,
  );
  if (caches !== undefined) line(describeCaches(caches));
  const { warningCount } = summary;
  if (warningCount > 0)
    line(`${warningCount} warning${warningCount === 1 ? "" : "s"} about the configuration, see above.`);
}

function describeCaches(caches: CacheCounts): string {
  const parts = [
    `${caches.hits} hit${caches.hits === 1 ? "" : "s"} (${formatBytes(caches.hitBytes)})`,
    `${caches.misses} miss${caches.misses === 1 ? "" : "es"}`,
    `${caches.saved} saved (${formatBytes(caches.savedBytes)})`,
    `${caches.unchanged} unchanged`,
    ...(caches.failed > 0 ? [`${caches.failed} failed`] : []),
  ];
  return `Caches: ${parts.join(", ")}.`;
}

/** Where the logs and artifacts of a run lie. */
export function printPlaces(result: PipelineResult, from: string, output: Output): void {
  const show = (path: string): string => {
    const short = relative(from, path);
    return short.startsWith("..") ? path : short;
  };
  for (const job of result.jobs.filter((candidate) => candidate.trace.bytes > 0)) {
    output.write(`  ${job.name}: ${show(job.trace.path)}\n`);
    for (const artifact of job.artifacts) {
      output.write(`    ${artifact.type}: ${show(artifact.path)} (${formatBytes(artifact.bytes)})\n`);
    }
  }
}

function describe(job: JobView): string {
  const duration =
    job.startedAtMs === undefined || job.finishedAtMs === undefined
      ? ""
      : formatDuration(job.finishedAtMs - job.startedAtMs);
  const size = job.artifacts.reduce((sum, artifact) => sum + artifact.bytes, 0);
  const notes = [
    job.status,
    ...(job.status === "failed" && job.exitCode !== undefined ? [`exit code ${job.exitCode}`] : []),
    ...(job.allowedToFail && job.status === "failed" ? ["allowed"] : []),
    ...(size > 0 ? [`artifacts ${formatBytes(size)}`] : []),
  ];
  return `${duration.padStart(8)}  ${notes.join(", ")}`;
}

function mark(job: JobView, output: Output): string {
  const [sign, style] =
    job.status === "success"
      ? (["ok  ", "green"] as const)
      : job.status === "failed" && job.allowedToFail
        ? (["warn", "yellow"] as const)
        : job.status === "failed"
          ? (["FAIL", "red"] as const)
          : (["-   ", "dim"] as const);
  return output.isTerminal ? styleText(style, sign, { validateStream: false }) : sign;
}

function verdict(result: PipelineResult): string {
  switch (result.status) {
    case "success":
      return result.passedWithWarnings ? "passed with warnings" : "passed";
    case "manual":
      return "passed; what is left waits to be started by hand";
    default:
      return result.status;
  }
}
