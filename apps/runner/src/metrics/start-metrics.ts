import type { Logger } from "@fleetfoot/coordinator-client";
import { Registry } from "prom-client";
import type { RunnerObserver } from "../run/observer.ts";
import { parseListenAddress } from "./listen-address.ts";
import { createRunnerMetrics } from "./runner-metrics.ts";
import { startStatusServer } from "./status-server.ts";

export interface StartMetricsOptions {
  /** As in `listen_address`. */
  readonly address: string;
  readonly systemId: string;
  readonly logger: Logger;
  /** Epoch milliseconds. */
  readonly now: () => number;
}

/** Metrics of this process that are served. */
export interface ServedMetrics {
  readonly observer: RunnerObserver;
  /** The log of the process, counted. */
  readonly logger: Logger;
  close(): Promise<void>;
}

/**
 * Counts what the runner does and serves it.
 *
 * @throws {UsageError} the address is none, or cannot be listened on
 */
export async function startMetrics(options: StartMetricsOptions): Promise<ServedMetrics> {
  const { systemId, logger, now } = options;
  const address = parseListenAddress(options.address);
  const registry = new Registry();
  const metrics = createRunnerMetrics({ registry, systemId, now });
  const server = await startStatusServer({ address, registry, metrics, now });
  logger.info("Serving metrics", { url: `${server.url}/metrics` });
  return {
    observer: metrics,
    logger: metrics.countingLog(logger),
    async close() {
      await server.close();
      registry.clear();
    },
  };
}
