import type { JobStatus } from "./job-view.ts";

/** `held`: handed to a runner that has not confirmed it; on the wire still `pending`. */
export type JobState = JobStatus | "held";

/** What can happen to a job. */
export type JobAction =
  /** Everything it waited for is over. */
  | "enqueue"
  /** It needs a person. */
  | "offer"
  /** It starts after a while. */
  | "delay"
  /** Another job uses the same resource. */
  | "await-resource"
  /** It will not run. */
  | "skip"
  /** A runner takes it and it runs. */
  | "assign"
  /** A runner takes it and has yet to confirm. */
  | "hold"
  /** The runner confirms. */
  | "confirm"
  /** The runner does not confirm in time, or nobody got the answer. */
  | "release"
  | "succeed"
  | "fail"
  /** It is to end soon, its runner winding it down. */
  | "cancel-gracefully"
  /** It is over at once. */
  | "cancel";

const transitions: Readonly<Record<JobState, Partial<Readonly<Record<JobAction, JobState>>>>> = {
  created: {
    enqueue: "pending",
    offer: "manual",
    delay: "scheduled",
    "await-resource": "waiting_for_resource",
    skip: "skipped",
    fail: "failed",
    cancel: "canceled",
  },
  manual: {
    enqueue: "pending",
    delay: "scheduled",
    "await-resource": "waiting_for_resource",
    skip: "skipped",
    cancel: "canceled",
  },
  scheduled: {
    enqueue: "pending",
    "await-resource": "waiting_for_resource",
    cancel: "canceled",
  },
  waiting_for_resource: { enqueue: "pending", cancel: "canceled" },
  pending: { assign: "running", hold: "held", fail: "failed", cancel: "canceled" },
  held: { confirm: "running", release: "pending", fail: "failed", cancel: "canceled" },
  running: {
    release: "pending",
    succeed: "success",
    fail: "failed",
    "cancel-gracefully": "canceling",
    cancel: "canceled",
  },
  // Whatever its runner says in the end, somebody wanted it gone.
  canceling: { succeed: "canceled", fail: "canceled", cancel: "canceled" },
  canceled: {},
  success: {},
  failed: {},
  skipped: {},
};

/**
 * The state after an action; undefined when the action means nothing in that state.
 *
 * @see coordinator-protocol 6.2, 12
 */
export function nextState(state: JobState, action: JobAction): JobState | undefined {
  return transitions[state][action];
}

/** The word for a state on the wire. */
export function statusOf(state: JobState): JobStatus {
  return state === "held" ? "pending" : state;
}

/** Whether a runner works on the job, so that its updates are welcome. */
export function isExecuting(state: JobState): boolean {
  return state === "running" || state === "canceling";
}

export function isOver(state: JobState): boolean {
  return state === "success" || state === "failed" || state === "canceled" || state === "skipped";
}
