import type { PipelineJob } from "@fleetfoot/ci-config";

import type { JobState } from "../jobs/job-state.ts";
import type { PipelineStatus } from "./pipeline-run.ts";

/** A job as far as the order of jobs depends on it: its last attempt. */
export interface ScheduledJob {
  readonly name: string;
  /** Position of its stage. */
  readonly stage: number;
  readonly when: PipelineJob["when"];
  readonly needs: readonly string[] | undefined;
  readonly state: JobState;
  /** A failure, or that nobody started it, does not count. */
  readonly allowFailure: boolean;
}

export interface Decision {
  readonly name: string;
  /** `offer`: it waits for a person; `delay`: it starts after its time. */
  readonly action: "enqueue" | "delay" | "offer" | "skip";
}

/**
 * Decides what becomes of jobs that have not begun, now that others have come as far as they are. Skipping one job may
 * decide another, so it is asked again until it returns nothing.
 *
 * Pure. A job with `needs` looks at those only, any other at all jobs of earlier stages.
 *
 * @see https://docs.gitlab.com/ci/yaml/#needs, https://docs.gitlab.com/ci/yaml/#when
 */
export function decide(jobs: readonly ScheduledJob[]): readonly Decision[] {
  const byName = new Map(jobs.map((job) => [job.name, job]));
  return jobs.flatMap((job): readonly Decision[] => {
    if (job.state !== "created") return [];
    const { needs } = job;
    const before =
      needs === undefined
        ? summarise(jobs.filter((other) => other.stage < job.stage))
        : summariseNeeds(needs.flatMap((name) => byName.get(name) ?? []));
    if (before === "open") return [];
    if (!wanted(job, before)) return [{ name: job.name, action: "skip" }];
    if (job.when === "manual") return [{ name: job.name, action: "offer" }];
    return [{ name: job.name, action: job.when === "delayed" ? "delay" : "enqueue" }];
  });
}

/**
 * The pipeline's outcome, once nothing of it moves any more; undefined before that. Ask after {@link decide} has nothing
 * left: jobs that are still `created` then wait for a manual job.
 */
export function outcomeOf(jobs: readonly ScheduledJob[]): Exclude<PipelineStatus, "running"> | undefined {
  if (jobs.some(({ state }) => isMoving(state))) return undefined;
  const summary = summarise(jobs.filter((job) => job.state !== "created" && !isBlocking(job)));
  if (summary === "open") return undefined;
  return jobs.some(isBlocking) && summary !== "failed" && summary !== "canceled" ? "manual" : summary;
}

type Summary = "open" | "success" | "skipped" | "failed" | "canceled";

function summarise(jobs: readonly ScheduledJob[]): Summary {
  if (jobs.length === 0) return "success";
  const standings = new Set(jobs.map(standingOf));
  if (standings.has("open")) return "open";
  if (standings.has("failed")) return "failed";
  if (standings.has("canceled")) return "canceled";
  return standings.has("success") ? "success" : "skipped";
}

function summariseNeeds(jobs: readonly ScheduledJob[]): Summary {
  // One that does not run at all takes those with it that need it, even before the others are over.
  if (jobs.some((job) => standingOf(job) === "skipped")) return "skipped";
  return summarise(jobs);
}

function standingOf({ state, allowFailure }: ScheduledJob): Summary {
  switch (state) {
    case "success":
      return "success";
    case "failed":
    case "canceled":
      return allowFailure ? "success" : state;
    case "skipped":
      return "skipped";
    case "manual":
      return allowFailure ? "skipped" : "open";
    default:
      return "open";
  }
}

function wanted({ when, needs }: ScheduledJob, before: Summary): boolean {
  switch (when) {
    case "on_failure":
      return before === "failed";
    case "always":
      return before !== "canceled";
    default:
      return before === "success" || (before === "skipped" && needs === undefined);
  }
}

/** What comes after it waits until a person starts it. */
function isBlocking({ state, allowFailure }: ScheduledJob): boolean {
  return state === "manual" && !allowFailure;
}

function isMoving(state: JobState): boolean {
  return (
    state === "pending" ||
    state === "held" ||
    state === "running" ||
    state === "canceling" ||
    state === "scheduled" ||
    state === "waiting_for_resource"
  );
}
