export type { CacheSettings, ConfigProblem, NewRunnerEntry, RunnerConfig, RunnerEntry } from "./config.ts";
