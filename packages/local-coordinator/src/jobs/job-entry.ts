import { basename, join } from "node:path";

import type { JobEntry } from "../storage/state-entry.ts";
import type { TraceFile } from "../storage/trace-file.ts";
import type { JobDefinition, JobRecord } from "./job-record.ts";
import { isOver } from "./job-state.ts";

/** Where a job stands, for a later coordinator. */
export function entryOfJob(record: JobRecord): JobEntry {
  const { definition: _, directory: __, confirmation: ___, lastSeenAtMs: ____, trace, artifacts, ...facts } = record;
  return {
    kind: "job",
    ...facts,
    artifacts: [...artifacts.values()].map((artifact) => ({ ...artifact, path: basename(artifact.path) })),
    ...(isOver(record.state) ? { trace: { bytes: trace.size, checksum: trace.checksum } } : {}),
  };
}

/** The job as it stood. */
export function recordOfEntry(
  entry: JobEntry,
  parts: {
    readonly definition: JobDefinition;
    readonly directory: string;
    readonly trace: TraceFile;
    readonly nowMs: number;
  },
): JobRecord {
  const { definition, directory, trace, nowMs } = parts;
  return {
    id: entry.id,
    definition,
    directory,
    trace,
    artifacts: new Map(
      entry.artifacts.map((artifact) => [artifact.type, { ...artifact, path: artifactPath(directory, artifact.path) }]),
    ),
    state: entry.state,
    token: entry.token,
    handOuts: entry.handOuts,
    traceRestricted: entry.traceRestricted,
    features: entry.features,
    runnerId: entry.runnerId,
    failureReason: entry.failureReason,
    exitCode: entry.exitCode,
    message: entry.message,
    createdAtMs: entry.createdAtMs,
    queuedAtMs: entry.queuedAtMs,
    startsAtMs: entry.startsAtMs,
    startedAtMs: entry.startedAtMs,
    finishedAtMs: entry.finishedAtMs,
    // Its runner could not be heard while there was no coordinator.
    lastSeenAtMs: nowMs,
    retriedBy: entry.retriedBy,
    finalUpdate: entry.finalUpdate,
    dotenv: entry.dotenv,
    confirmation: undefined,
  };
}

/** Where the artifacts of a job lie. */
export function artifactPath(jobDirectory: string, name: string): string {
  return join(jobDirectory, "artifacts", name);
}
