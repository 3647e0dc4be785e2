import type { RandomFault } from "./fault.ts";

/**
 * What a coordinator in trouble does, each with equal chance: told waits and none, every status that may be tried again, lost
 * requests and lost answers, bodies that never end, logs that lost their end or all, results that are not accepted yet.
 *
 * None of it loses what the coordinator has confirmed for good: a runner that obeys the protocol delivers every job once, with
 * its whole log. A job whose answer was lost comes back after `confirmationTimeoutMs`.
 *
 * @see coordinator-protocol 2, 6.2, 7.2
 */
export const hostileFaults: readonly RandomFault[] = [
  { fault: { do: "answer", status: 429 } },
  { fault: { do: "answer", status: 429, headers: { "Retry-After": "1" } } },
  {
    fault: {
      do: "answer",
      status: 429,
      headers: (nowMs) => ({ "RateLimit-ResetTime": new Date(nowMs + 2000).toUTCString(), "Retry-After": "60" }),
    },
  },
  ...[408, 500, 502, 503, 504, 520].map((status): RandomFault => ({ fault: { do: "answer", status } })),
  { fault: { do: "answer", status: 502, process: true } },
  { fault: { do: "drop", at: "before" } },
  { fault: { do: "drop", at: "after" } },
  { fault: { do: "answer", status: 503, body: "one moment", bodyEnd: "stalled" } },
  { fault: { do: "stall", milliseconds: 2000 } },
  { kinds: ["patch-trace"], fault: { do: "shorten-trace", keep: 0.5 } },
  { kinds: ["update-job"], when: isFinal, fault: { do: "reject-trace" } },
  {
    kinds: ["update-job"],
    when: isFinal,
    maxInRow: 4,
    fault: { do: "answer", status: 202, headers: { "X-GitLab-Trace-Update-Interval": "1" } },
  },
];

function isFinal({ json }: { readonly json: unknown }): boolean {
  const state = typeof json === "object" && json !== null && "state" in json ? json.state : undefined;
  return state === "success" || state === "failed";
}
