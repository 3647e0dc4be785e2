import type { Logger } from "../logger.ts";
import { printable } from "../printable.ts";
import type { JobSignals } from "../results.ts";
import type { Answer } from "./exchange.ts";

/** What the coordinator says about the job beside its answer, whatever the status. */
export function readJobSignals(answer: Pick<Answer, "header">, logger: Logger): JobSignals & { ended: boolean } {
  const status = answer.header("job-status");
  return {
    cancelRequested: status === "canceling",
    ended: status === "canceled" || status === "failed",
    updateIntervalMs: readUpdateInterval(answer.header("x-gitlab-trace-update-interval"), logger),
  };
}

/**
 * The pause between updates that an answer asks for, cut to 15 minutes; undefined when it asks for none that counts.
 *
 * @see coordinator-protocol 7.3
 */
export function readUpdateInterval(value: string | undefined, logger: Logger): number | undefined {
  if (value === undefined || value === "") {
    return undefined;
  }
  const seconds = /^[+-]?\d+$/.test(value) ? Number(value) : Number.NaN;
  if (!Number.isSafeInteger(seconds)) {
    logger.warn("Update interval ignored", {
      error: "not a whole number of seconds",
      header: "X-GitLab-Trace-Update-Interval",
      headerValue: printable(value),
    });
    return undefined;
  }
  return seconds > 0 ? Math.min(seconds * 1000, LONGEST_INTERVAL_MS) : undefined;
}

const LONGEST_INTERVAL_MS = 15 * 60 * 1000;
