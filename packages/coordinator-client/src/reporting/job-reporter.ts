import { noopLogger } from "../logger.ts";
import type { JobUpdate } from "../results.ts";
import { sleep as timerSleep } from "../retry/sleep.ts";
import { reportFinally } from "./final-report.ts";
import { Standing } from "./standing.ts";
import { TraceDelivery } from "./trace-delivery.ts";
import type { JobFailure, JobReporter, JobReporterOptions, ReportResult } from "./types.ts";

const DEFAULT_INTERVAL_MS = 3000;
const DEFAULT_TOUCH_AFTER_MS = 30_000;
const MAX_TOUCH_AFTER_MS = 30 * 60_000;
const DEFAULT_FINAL_ROUNDS = 10;

/**
 * Starts to report a job that the coordinator already knows to be running: its trace piece by piece, a sign of life
 * when there is none, and at the end the result.
 *
 * All requests of a job happen one at a time. The end of the job does not wait for the pause between two of them.
 *
 * @see coordinator-protocol 8.2, 8.3
 */
export function startJobReporter(options: JobReporterOptions): JobReporter {
  const { calls, trace, onCancel, onAbort, signal } = options;
  const { debugTrace = false, logger = noopLogger, now = Date.now, sleep = timerSleep } = options;
  const { initialIntervalMs = DEFAULT_INTERVAL_MS, maxFinalRounds = DEFAULT_FINAL_ROUNDS } = options;
  const { maxFinalDurationMs = Number.POSITIVE_INFINITY } = options;
  const standing = new Standing({ initialIntervalMs, onCancel, onAbort, logger });
  const { acknowledgedBytes = 0, onAcknowledged = ignore } = options;
  const delivery = new TraceDelivery({ calls, trace, debugTrace, acknowledgedBytes, onAcknowledged, logger, signal });
  const ended = new AbortController();
  const wake = signal === undefined ? ended.signal : AbortSignal.any([ended.signal, signal]);
  const callOptions = signal === undefined ? {} : { signal };
  let lastSuccessAt = Number.NEGATIVE_INFINITY;
  let report: Promise<ReportResult> | undefined;

  const watching = watch();

  async function watch(): Promise<void> {
    while (!wake.aborted && !standing.aborted) {
      try {
        await sleep(standing.intervalMs, wake);
        await tick();
      } catch (error) {
        // The next tick and the result must still happen. Being woken is how every loop ends.
        if (!wake.aborted) logger.error("An update of the running job failed", { error });
      }
    }
  }

  async function tick(): Promise<void> {
    if (delivery.hasUnsent) {
      const result = await delivery.sendNext();
      if (result?.outcome === "ok" || result?.outcome === "range-mismatch") lastSuccessAt = now();
      if (result !== undefined) standing.hear(result);
      if (result !== undefined && result.outcome !== "ok") return;
    }
    if (!wake.aborted && !standing.aborted && now() - lastSuccessAt > touchAfterMs()) await touch();
  }

  async function touch(): Promise<void> {
    const result = await calls.updateJob({ state: "running", trace: describeTrace() }, callOptions);
    if (result.outcome === "succeeded") lastSuccessAt = now();
    standing.hear(result);
  }

  function touchAfterMs(): number {
    const { touchAfterMs: fixed = DEFAULT_TOUCH_AFTER_MS, touchFollowsInterval = false } = options;
    if (!touchFollowsInterval) return fixed;
    return Math.min(Math.max(4 * standing.intervalMs, DEFAULT_TOUCH_AFTER_MS), MAX_TOUCH_AFTER_MS);
  }

  function describeTrace(): { checksum: string; bytes: number } {
    return { checksum: trace.checksum, bytes: trace.size };
  }

  async function finish(result: JobUpdate): Promise<ReportResult> {
    ended.abort();
    await watching;
    signal?.throwIfAborted();
    return reportFinally({
      calls,
      delivery,
      standing,
      update: () => ({ ...result, trace: describeTrace() }),
      maxRounds: maxFinalRounds,
      maxDurationMs: maxFinalDurationMs,
      logger,
      now,
      sleep,
      signal,
    });
  }

  return {
    succeed: () => (report ??= finish({ state: "success" })),
    fail: (failure) => (report ??= finish(describeFailure(failure))),
    get intervalMs() {
      return standing.intervalMs;
    },
  };
}

function ignore(): void {
  // Nobody listens.
}

function describeFailure({ reason, exitCode }: JobFailure): JobUpdate {
  const update = { state: "failed", failureReason: reason } as const;
  return exitCode === undefined ? update : { ...update, exitCode };
}
