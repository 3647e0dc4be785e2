import type { Logger } from "../logger.ts";
import type { JobUpdate, UpdateJobResult } from "../results.ts";
import { isRefusal } from "./refusal.ts";
import type { Standing } from "./standing.ts";
import type { TraceDelivery } from "./trace-delivery.ts";
import type { ReportingCalls, ReportResult } from "./types.ts";

const FIRST_WAIT_MS = 1000;
const MAX_WAIT_MS = 60 * 60_000;

/** The first try and two more: an answer such as 400 does not get better by patience. */
const MAX_REFUSED_UPDATES = 3;

export interface FinalReportOptions {
  readonly calls: ReportingCalls;
  readonly delivery: TraceDelivery;
  readonly standing: Standing;
  /** Makes the final update from the trace as it is then. */
  readonly update: () => JobUpdate;
  readonly maxRounds: number;
  readonly maxDurationMs: number;
  readonly logger: Logger;
  readonly now: () => number;
  readonly sleep: (ms: number, signal?: AbortSignal) => Promise<void>;
  readonly signal: AbortSignal | undefined;
}

/**
 * Sends the rest of the trace and the result, in rounds with growing pauses.
 *
 * A trace that cannot be delivered does not keep the result back: where the coordinator refuses the trace, the result
 * goes out without it; where it is out of reach, the last round tries the result all the same.
 *
 * @throws the reason of the signal, when that is aborted
 * @see coordinator-protocol 2.6, 8.3
 */
export async function reportFinally(options: FinalReportOptions): Promise<ReportResult> {
  const { standing, maxRounds, maxDurationMs, logger, now, sleep, signal } = options;
  if (standing.aborted) return reportOnce(options);
  const startedAt = now();
  let refusedUpdates = 0;
  for (let round = 1; ; round += 1) {
    standing.resetInterval();
    const backoffMs = Math.min(FIRST_WAIT_MS * 2 ** (round - 1), MAX_WAIT_MS);
    const isLast = (): boolean =>
      round >= maxRounds || now() - startedAt + standing.intervalMs + backoffMs > maxDurationMs;
    const isLate = (): boolean => now() - startedAt > maxDurationMs;
    let answer = await runRound(options, isLate);
    if (answer === undefined && isLast()) answer = await sendUpdate(options, isLate);
    const result = answer === undefined ? undefined : conclude(answer, round);
    if (result !== undefined) return result;
    if (answer !== undefined && isRefusal(answer.status)) refusedUpdates += 1;
    const refused = refusedUpdates >= MAX_REFUSED_UPDATES;
    if (refused || isLast()) {
      logger.error("The result of the job could not be reported", { rounds: round });
      return { delivered: false, outcome: refused ? "refused" : "undeliverable", rounds: round };
    }
    const waitMs = standing.intervalMs + backoffMs;
    logger.warn("Reporting the result of the job failed, trying again", { round, waitMs });
    await sleep(standing.intervalMs, signal);
    await sleep(backoffMs, signal);
  }
}

/** One piece of the trace and one update, whatever they bring: the coordinator has said that it wants neither. */
async function reportOnce(options: FinalReportOptions): Promise<ReportResult> {
  if (options.delivery.hasUnsent) await options.delivery.sendNext();
  const answer = await sendUpdate(options, () => true);
  return conclude(answer, 1) ?? { delivered: false, outcome: "undeliverable", rounds: 1 };
}

/** @returns the answer to the update; undefined when none was sent, since the trace may still get through later */
async function runRound(options: FinalReportOptions, isLate: () => boolean): Promise<UpdateJobResult | undefined> {
  const { delivery, standing, sleep, signal } = options;
  const pause = (): Promise<void> => sleep(standing.intervalMs, signal);
  for (let restarted = false; ; restarted = true) {
    const sent = await delivery.sendRest(pause, (result) => standing.adoptInterval(result));
    if (sent === "failed") return undefined;
    const answer = await sendUpdate(options, isLate);
    if (answer.outcome !== "trace-rejected") return answer;
    delivery.restart();
    // A second rejection, after the whole trace was sent again, fails the round: otherwise this might never end.
    if (restarted) return answer;
    await pause();
  }
}

/** Sends the update until the coordinator has decided about it. */
async function sendUpdate(options: FinalReportOptions, isLate: () => boolean): Promise<UpdateJobResult> {
  const { calls, standing, update, sleep, signal } = options;
  for (;;) {
    const answer = await calls.updateJob(update(), signal === undefined ? {} : { signal });
    standing.adoptInterval(answer);
    if (answer.outcome !== "accepted" || isLate()) return answer;
    await sleep(standing.intervalMs, signal);
  }
}

function conclude(answer: UpdateJobResult, rounds: number): ReportResult | undefined {
  if (answer.outcome === "succeeded") return { delivered: true, outcome: "succeeded", rounds };
  if (answer.outcome !== "abort") return undefined;
  // A failed job is acknowledged with its new state, which reads like an abort but is what was asked for.
  return answer.status === 200
    ? { delivered: true, outcome: "succeeded", rounds }
    : { delivered: false, outcome: "abort", rounds };
}
