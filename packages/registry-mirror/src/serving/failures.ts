import { UpstreamError } from "../errors.ts";
import type { MirrorResponse } from "./messages.ts";
import { errorResponse } from "./messages.ts";

/** One upstream of a list, and why it did not give what was asked for. */
export interface StepFailure {
  readonly upstream: string;
  readonly error: UpstreamError;
}

/** No upstream of a virtual registry gave what was asked for. */
export class WalkFailure extends Error {
  override readonly name = "WalkFailure";
  readonly steps: readonly StepFailure[];

  constructor(steps: readonly StepFailure[]) {
    super("no upstream has it");
    this.steps = steps;
  }
}

/** What failed, and what the client can do next. */
export interface FailureContext {
  readonly kind: "blob" | "manifest";
  /** A client that can go to the upstream by itself leaves at once after a 404, and much later after other failures. */
  readonly hasSecondChoice: boolean;
}

/**
 * Says a failure so that the client does the best it can do next.
 *
 * @returns undefined for what is no failure of an upstream
 */
export function failureResponse(failure: unknown, context: FailureContext): MirrorResponse | undefined {
  if (failure instanceof UpstreamError)
    return upstreamResponse([{ upstream: failure.upstream, error: failure }], context, failure.reason);
  if (!(failure instanceof WalkFailure)) return undefined;
  const list = failure.steps.map(({ upstream, error }) => `${upstream}: ${error.status ?? error.code}`).join(", ");
  const why = list === "" ? "no upstream may be asked for this name" : list;
  return upstreamResponse(failure.steps, context, why);
}

function upstreamResponse(steps: readonly StepFailure[], context: FailureContext, why: string): MirrorResponse {
  const unknownCode = context.kind === "blob" ? "BLOB_UNKNOWN" : "MANIFEST_UNKNOWN";
  const errors = steps.map(({ error }) => error);
  const failed = errors.filter((error) => !isRefusal(error));
  if (failed.length === 0) {
    if (errors.some(({ code }) => code === "absent")) return errorResponse(404, unknownCode, `not found: ${why}`);
    return errorResponse(403, "DENIED", `access denied: ${why}`);
  }
  if (context.kind === "blob" && context.hasSecondChoice) {
    return errorResponse(404, unknownCode, `not here, and it cannot be fetched now: ${why}`);
  }
  if (failed.every(({ code }) => code === "throttled")) {
    const waitMs = Math.min(...failed.map(({ retryAfterMs }) => retryAfterMs ?? 60_000));
    const headers = { "retry-after": String(Math.max(1, Math.ceil(waitMs / 1000))) };
    return errorResponse(429, "TOOMANYREQUESTS", `too many requests: ${why}`, headers);
  }
  const status = failed.every(({ code }) => code === "timeout") ? 504 : 502;
  return errorResponse(status, "UNAVAILABLE", `it cannot be fetched now: ${why}`);
}

/** Whether an upstream said clearly that we do not get it there. Rejected credentials look like a missing image to clients. */
export function isRefusal({ code }: UpstreamError): boolean {
  return code === "absent" || code === "denied" || code === "credentials-rejected";
}
