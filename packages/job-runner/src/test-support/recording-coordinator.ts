import type {
  ArtifactUpload,
  JobUpdate,
  PatchTraceResult,
  TraceChunk,
  UpdateJobResult,
  UploadArtifactsResult,
} from "@fleetfoot/coordinator-client";

import type { JobCoordinator } from "../job-coordinator.ts";

/** A coordinator in memory that remembers what it was told and answers as a test wants. */
export interface RecordingCoordinator extends JobCoordinator {
  readonly updates: readonly JobUpdate[];
  readonly chunks: readonly TraceChunk[];
  readonly uploads: readonly { readonly upload: ArtifactUpload; readonly bytes: Buffer }[];
  /** Everything of the log that has arrived. */
  readonly log: string;
  /** Calls in the order of their arrival: `PUT running`, `PATCH 0`, `upload artifacts.zip`. */
  readonly calls: readonly string[];
}

export interface RecordingAnswers {
  readonly update?: (update: JobUpdate, index: number) => Partial<UpdateJobResult>;
  readonly patch?: (chunk: TraceChunk, index: number) => Partial<PatchTraceResult>;
  readonly upload?: (upload: ArtifactUpload) => Partial<UploadArtifactsResult>;
  /** Archive of every dependency. */
  readonly download?: Uint8Array;
}

const FACTS = {
  status: 200,
  attempts: 1,
  throttled: false,
  requestId: "0123456789abcdef0123456789abcdef",
  message: "",
  cancelRequested: false,
  updateIntervalMs: undefined,
} as const;

export function createRecordingCoordinator(answers: RecordingAnswers = {}): RecordingCoordinator {
  const updates: JobUpdate[] = [];
  const chunks: TraceChunk[] = [];
  const uploads: { upload: ArtifactUpload; bytes: Buffer }[] = [];
  const calls: string[] = [];
  let stored = Buffer.alloc(0);
  return {
    updates,
    chunks,
    uploads,
    calls,
    get log() {
      return stored.toString("utf8");
    },
    updateJob: async (_job, update) => {
      calls.push(`PUT ${update.state}`);
      updates.push(update);
      return { ...FACTS, outcome: "succeeded", ...answers.update?.(update, updates.length - 1) };
    },
    patchTrace: async (_job, chunk) => {
      calls.push(`PATCH ${chunk.offset}`);
      chunks.push(chunk);
      stored = Buffer.concat([stored.subarray(0, chunk.offset), chunk.bytes]);
      const answer = { ...FACTS, status: 202, outcome: "ok", nextOffset: stored.length } as const;
      return { ...answer, ...answers.patch?.(chunk, chunks.length - 1) };
    },
    uploadArtifacts: async (_job, upload) => {
      calls.push(`upload ${upload.fileName}`);
      const bytes = Buffer.concat(await Array.fromAsync(upload.open()));
      uploads.push({ upload, bytes });
      return { ...FACTS, status: 201, outcome: "succeeded", tries: 1, ...answers.upload?.(upload) };
    },
    downloadArtifactsToFile: async (dependency, file) => {
      calls.push(`download ${dependency.id}`);
      if (answers.download === undefined) return { ...FACTS, status: 404, outcome: "not-found", tries: 1 };
      await file.truncate(0);
      await file.write(answers.download, 0, answers.download.length, 0);
      return { ...FACTS, outcome: "succeeded", tries: 1 };
    },
  };
}
