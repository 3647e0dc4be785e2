import { Counter, Histogram } from "prom-client";
import type { Registry } from "prom-client";

import type { AttemptRecord, CallRecord } from "../client.ts";
import { endpointName } from "./endpoint-name.ts";

export interface CoordinatorMetricsOptions {
  /** Where the metrics are registered. */
  readonly registry: Registry;
}

/** Whose calls are counted. */
export interface MeteredRunner {
  /** Short form of the token, as `shortToken` makes it; never the token itself. */
  readonly runner: string;
  /** This machine, for instance `s_0a1b2c3d4e5f`. */
  readonly systemId: string;
}

/** Two of a client's options: pass them on to `createCoordinatorClient`. */
export interface RunnerMetrics {
  readonly onAttempt: (record: AttemptRecord) => void;
  readonly onCall: (record: CallRecord) => void;
}

export interface CoordinatorMetrics {
  /** The observers for the client of one runner. */
  forRunner(runner: MeteredRunner): RunnerMetrics;
}

/**
 * Counts calls, requests and retries in metrics of prom-client:
 *
 * - `gitlab_runner_api_request_statuses_total`: calls by their final status (`runner`, `system_id`, `endpoint`, `status`, `method`)
 * - `gitlab_runner_api_request_duration_seconds`: how long calls take, their waits included (`status_class` in place of `status`)
 * - `gitlab_runner_api_request_retries_total`: requests after the first one of a call (`path`, `method`)
 * - `fleetfoot_api_request_attempts_total`: all requests by their own status, so that a 429 which a retry hides shows
 *   (`path`, `method`, `status`)
 *
 * A status of -1 is a request without an answer, one of -100 an unusable URL.
 *
 * @throws when the registry has metrics of these names already
 * @see coordinator-protocol 2.3, job-execution 4.5
 */
export function createCoordinatorMetrics({ registry }: CoordinatorMetricsOptions): CoordinatorMetrics {
  const registers = [registry];
  const statuses = new Counter({
    name: "gitlab_runner_api_request_statuses_total",
    help: "Calls of the coordinator by their final status.",
    labelNames: ["runner", "system_id", "endpoint", "status", "method"],
    registers,
  });
  const durations = new Histogram({
    name: "gitlab_runner_api_request_duration_seconds",
    help: "Duration of calls of the coordinator, waits included.",
    labelNames: ["runner", "system_id", "endpoint", "status_class", "method"],
    buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300],
    registers,
  });
  const retries = new Counter({
    name: "gitlab_runner_api_request_retries_total",
    help: "Requests to the coordinator after the first one of a call.",
    labelNames: ["path", "method"],
    registers,
  });
  const attempts = new Counter({
    name: "fleetfoot_api_request_attempts_total",
    help: "Requests to the coordinator by their own status.",
    labelNames: ["path", "method", "status"],
    registers,
  });
  return {
    forRunner: ({ runner, systemId }) => ({
      onAttempt({ method, endpoint: path, status, attempt }) {
        attempts.inc({ path, method, status });
        if (attempt > 1) retries.inc({ path, method });
      },
      onCall({ method, endpoint: path, status, durationMs }) {
        const labels = { runner, system_id: systemId, endpoint: endpointName(method, path), method };
        statuses.inc({ ...labels, status });
        durations.observe({ ...labels, status_class: statusClass(status) }, durationMs / 1000);
      },
    }),
  };
}

function statusClass(status: number): string {
  return status > 0 ? `${Math.floor(status / 100)}xx` : "none";
}
