import type { UpstreamError } from "../errors.ts";
import type { Upstream } from "../routing/registries.ts";
import { discard } from "./connections.ts";
import type { RawAnswer } from "./connections.ts";
import { eachChunk } from "./each-chunk.ts";
import type { EachChunkOptions } from "./each-chunk.ts";
import { failureOf } from "./failure.ts";
import type { UpstreamAnswer } from "./messages.ts";
import { trustedChallenge } from "./realm-trust.ts";
import { parseRetryAfter } from "./retry-after.ts";

type Head = Pick<RawAnswer, "headers" | "statusCode">;

/** What an answer says instead of giving what was asked for; undefined when it gives it. */
export function refusalOf(
  { headers, statusCode: status }: Head,
  upstream: Upstream,
  nowMs: number,
): UpstreamError | undefined {
  switch (status) {
    case 200:
    case 206: {
      const encoding = single(headers["content-encoding"]) ?? "identity";
      if (encoding === "identity") return undefined;
      return failureOf(upstream, "failing", "it compresses what must not be compressed");
    }
    case 404:
      return failureOf(upstream, "absent", "it has no such thing", { status });
    case 401:
    case 403: {
      const challenge = trustedChallenge(headers["www-authenticate"], upstream);
      return failureOf(upstream, "denied", "it refuses", { status, challenge });
    }
    case 429: {
      const retryAfterMs = parseRetryAfter(single(headers["retry-after"]), nowMs);
      return failureOf(upstream, "throttled", "it wants fewer requests", { status, retryAfterMs });
    }
    default:
      return failureOf(upstream, "failing", `it answers ${status}`, { status });
  }
}

export function acceptedAnswer(answer: RawAnswer, options: EachChunkOptions): UpstreamAnswer {
  const { body, headers, statusCode: status } = answer;
  return {
    status,
    headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, single(value)])),
    body,
    readBody: (take) => eachChunk(body, take, options),
    discard: () => discard(answer),
  };
}

/** The first of several lines of one header. */
export function single(value: string | string[] | undefined): string | undefined {
  return typeof value === "string" ? value : value?.[0];
}
