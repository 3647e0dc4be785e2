export { createCoordinatorMetrics } from "./coordinator-metrics.ts";
export type {
  CoordinatorMetrics,
  CoordinatorMetricsOptions,
  MeteredRunner,
  RunnerMetrics,
} from "./coordinator-metrics.ts";
