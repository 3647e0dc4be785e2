import type { UpstreamError } from "../errors.ts";

/** How long a failure answers for the upstream: milliseconds, 0 when it is asked anew. A tag may come sooner than a digest. */
export function negativeLifetime({ code, retryAfterMs }: UpstreamError, isForDigest: boolean): number {
  switch (code) {
    case "absent":
      return isForDigest ? 5 * 60_000 : 30_000;
    case "denied":
    case "credentials-rejected":
    case "forbidden-address":
      return 30_000;
    case "throttled":
      return Math.min(retryAfterMs ?? 10_000, 10_000);
    case "failing":
      return 2000;
    default:
      // Who does not answer at all is not asked for a while, whatever it is for.
      return 0;
  }
}
