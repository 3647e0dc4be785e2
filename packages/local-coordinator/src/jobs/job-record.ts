import type { AllowFailure } from "@fleetfoot/ci-config";
import type { JobPayload } from "@fleetfoot/coordinator-client";

import type { RunnerFeatures } from "../runners/runner-features.ts";
import type { Runner } from "../runners/runner-registry.ts";
import type { JobOrigin } from "../storage/state-entry.ts";
import type { TraceFile } from "../storage/trace-file.ts";
import type { JobState } from "./job-state.ts";
import { statusOf } from "./job-state.ts";
import type { FinalUpdate, JobView, StoredArtifact } from "./job-view.ts";

/** What a job is before it runs. */
export interface JobDefinition {
  readonly name: string;
  readonly stage: string;
  readonly pipelineId: number | undefined;
  readonly tags: readonly string[];
  readonly ignoreTags: boolean;
  readonly allowFailure: AllowFailure;
  /** Features without which a runner cannot run it. */
  readonly requiredFeatures: readonly string[];
  readonly retryOf: number | undefined;
  /** What a later coordinator makes this definition from. */
  readonly origin: JobOrigin;
  /** Token for the first handing out; undefined makes a new one, as every later handing out does. */
  readonly token: string | undefined;
  /** Made when a runner takes the job. */
  readonly payload: (facts: HandingOut) => JobPayload | Promise<JobPayload>;
  /** Called after every change of state. */
  readonly changed: (record: JobRecord) => void;
}

export interface HandingOut {
  readonly id: number;
  readonly token: string;
  readonly runner: Runner;
  /** Epoch milliseconds. */
  readonly atMs: number;
  /** Time since the job became pending. */
  readonly queuedMs: number;
}

/** A job as the coordinator keeps it. */
export interface JobRecord {
  readonly id: number;
  readonly definition: JobDefinition;
  readonly directory: string;
  readonly trace: TraceFile;
  readonly artifacts: Map<string, StoredArtifact>;
  state: JobState;
  /** Opens the job's own calls; undefined before a runner took it. */
  token: string | undefined;
  /** How often a runner was given it. */
  handOuts: number;
  traceRestricted: boolean;
  /** Of the machine that runs it. */
  features: RunnerFeatures;
  runnerId: number | undefined;
  failureReason: string | undefined;
  exitCode: number | undefined;
  message: string | undefined;
  readonly createdAtMs: number;
  queuedAtMs: number | undefined;
  /** When a delayed job is queued. */
  startsAtMs: number | undefined;
  startedAtMs: number | undefined;
  finishedAtMs: number | undefined;
  /** Last request of its runner. */
  lastSeenAtMs: number;
  retriedBy: number | undefined;
  finalUpdate: FinalUpdate | undefined;
  dotenv: Readonly<Record<string, string>>;
  /** Ends the wait for the runner's confirmation. */
  confirmation: AbortController | undefined;
}

export function viewOf(record: JobRecord): JobView {
  const { definition, trace } = record;
  return {
    id: record.id,
    name: definition.name,
    stage: definition.stage,
    status: statusOf(record.state),
    pipelineId: definition.pipelineId,
    failureReason: record.failureReason,
    exitCode: record.exitCode,
    allowedToFail: mayFail(definition.allowFailure, record.exitCode),
    message: record.message,
    createdAtMs: record.createdAtMs,
    queuedAtMs: record.queuedAtMs,
    startedAtMs: record.startedAtMs,
    finishedAtMs: record.finishedAtMs,
    runnerId: record.runnerId,
    retryOf: definition.retryOf,
    retriedBy: record.retriedBy,
    trace: { bytes: trace.size, checksum: trace.checksum, restricted: record.traceRestricted, path: trace.path },
    artifacts: [...record.artifacts.values()],
    finalUpdate: record.finalUpdate,
    dotenv: record.dotenv,
  };
}

/** Whether a failure is forgiven; with exit codes only a failure with one of them. */
function mayFail(rule: AllowFailure, exitCode: number | undefined): boolean {
  if (rule.exitCodes.length > 0) return exitCode !== undefined && rule.exitCodes.includes(exitCode);
  return rule.allowed;
}
