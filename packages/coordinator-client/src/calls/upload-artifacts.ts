import type {
  ArtifactUpload,
  JobCredentials,
  UploadArtifactsOptions,
  UploadArtifactsOutcome,
  UploadArtifactsResult,
} from "../client.ts";
import type { Answer, CallContext, CallRequest } from "./exchange.ts";
import { call } from "./call.ts";
import { logEnd } from "./wording.ts";
import { multipartFile } from "./multipart.ts";

/** Uploads one file, with the outer tries of 2.6. @see coordinator-protocol 9.1 */
export async function uploadArtifacts(
  context: CallContext,
  job: JobCredentials,
  upload: ArtifactUpload,
  options: UploadArtifactsOptions = {},
): Promise<UploadArtifactsResult> {
  const { signal } = options;
  const file = multipartFile(newBoundary(context.random), upload.fileName, () => upload.open());
  const request: CallRequest = {
    method: "POST",
    path: `jobs/${job.id}/artifacts`,
    query: `?${new URLSearchParams(queryOf(upload))}`,
    endpoint: "jobs/{id}/artifacts",
    headers: { "content-type": file.contentType, "job-token": job.token.reveal() },
    body: file.open,
    secrets: [job.token],
    signal,
    headersTimeoutMs: options.headersTimeoutMs,
    requestTimeoutMs: options.requestTimeoutMs,
  };
  let attempts = 0;
  let throttled = false;
  for (let tries = 1; ; tries += 1) {
    const answer = await call(context, request);
    attempts += answer.facts.attempts;
    throttled ||= answer.facts.throttled;
    const outcome = outcomeOf(answer.facts.status);
    const result = { ...answer.facts, attempts, throttled, outcome, tries };
    if (outcome === "succeeded") {
      return { ...result, message: "" };
    }
    if (outcome !== "failed" || tries >= triesAllowed(answer)) {
      logEnd(context, "error", TEXTS[outcome], request, { ...answer, facts: result });
      return { ...result, message: result.message || `${request.method} ${request.path}: ${answer.statusLine}` };
    }
    const waitMs = OUTER_WAITS_MS[tries - 1] ?? LONGEST_OUTER_WAIT_MS;
    logEnd(context, "warn", `Artifact upload failed, trying again in ${waitMs / 1000} s`, request, answer);
    await context.sleep(waitMs, signal);
  }
}

const TRIES = 3;
/** An object store that is not available for a moment is worth more patience. */
const TRIES_WHEN_UNAVAILABLE = 6;
const LONGEST_OUTER_WAIT_MS = 5000;
const OUTER_WAITS_MS: readonly number[] = [1000, 2000, 4000];

const TEXTS: Readonly<Record<Exclude<UploadArtifactsOutcome, "succeeded">, string>> = {
  forbidden: "Artifact upload refused, the job may not upload",
  "too-large": "Artifact upload refused, the file is larger than the coordinator allows",
  failed: "Artifact upload failed",
};

function triesAllowed(answer: Answer): number {
  return answer.facts.status === 503 ? TRIES_WHEN_UNAVAILABLE : TRIES;
}

function outcomeOf(status: number): UploadArtifactsOutcome {
  switch (status) {
    case 201:
      return "succeeded";
    case 403:
      return "forbidden";
    case 413:
      return "too-large";
    default:
      return "failed";
  }
}

function queryOf(upload: ArtifactUpload): Record<string, string> {
  return {
    ...(upload.format ? { artifact_format: upload.format } : {}),
    ...(upload.type ? { artifact_type: upload.type } : {}),
    ...(upload.expireIn ? { expire_in: upload.expireIn } : {}),
  };
}

function newBoundary(random: () => number): string {
  let digits = "";
  while (digits.length < 40) {
    digits += Math.floor(random() * 16).toString(16);
  }
  return `fleetfoot-${digits}`;
}
