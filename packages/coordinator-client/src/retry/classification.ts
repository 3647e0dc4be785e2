/**
 * What a status says about sending the same request again.
 *
 * - `accepted`: below 400, there is nothing to repeat
 * - `throttled`: 429, the coordinator asks to come back later
 * - `transient`: the next attempt may meet a healthier server
 * - `server`: the server cannot do this at all
 * - `client`: the request itself is at fault
 */
export type StatusClass = "accepted" | "throttled" | "transient" | "server" | "client";

/** @see coordinator-protocol 2.1 */
export function classifyStatus(status: number): StatusClass {
  if (status < 400) {
    return "accepted";
  }
  if (status === 429) {
    return "throttled";
  }
  if (TRANSIENT.has(status) || status >= 512) {
    return "transient";
  }
  return status < 500 ? "client" : "server";
}

/** Whether the retry layer sends the request again after this status. */
export function isRetriableStatus(status: number): boolean {
  const statusClass = classifyStatus(status);
  return statusClass === "throttled" || statusClass === "transient";
}

const TRANSIENT: ReadonlySet<number> = new Set([408, 500, 502, 503, 504]);
