/** How many pulls an upstream allows. @see https://docs.docker.com/docker-hub/usage/pulls/ */
export interface RateLimit {
  readonly pulls: number;
  /** Length of the window in seconds; undefined when it is not told. */
  readonly windowSeconds: number | undefined;
}

/** Reads `ratelimit-limit` or `ratelimit-remaining`, for example `76;w=21600`. */
export function parseRateLimit(header: string | undefined): RateLimit | undefined {
  const match = /^\s*(\d{1,9})\s*(?:;\s*w=(\d{1,9}))?\s*$/.exec(header ?? "");
  if (match === null) return undefined;
  return { pulls: Number(match[1]), windowSeconds: match[2] === undefined ? undefined : Number(match[2]) };
}
