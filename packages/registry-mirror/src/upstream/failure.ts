import { UpstreamError } from "../errors.ts";
import type { UpstreamErrorCode, UpstreamFailure } from "../errors.ts";
import type { Upstream } from "../routing/registries.ts";

/** Makes the error of an upstream that did not give what was asked for. */
export function failureOf(
  { id }: Upstream,
  code: UpstreamErrorCode,
  reason: string,
  facts: Pick<UpstreamFailure, "challenge" | "retryAfterMs" | "status"> = {},
  cause?: unknown,
): UpstreamError {
  const failure = { code, upstream: id, reason, ...facts };
  return new UpstreamError(failure, cause === undefined ? undefined : { cause });
}

/** Makes the error of an upstream that was silent for too long. */
export function lateAnswerOf(upstream: Upstream): UpstreamError {
  return failureOf(upstream, "timeout", "it did not answer in time");
}
