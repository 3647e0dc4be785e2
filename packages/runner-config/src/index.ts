export type {
  AzureCacheConfig,
  ConfigProblem,
  GcsCacheConfig,
  LocalCacheConfig,
  LogLevel,
  RunnerCache,
  RunnerConfig,
  RunnerDocker,
  RunnerDockerService,
  RunnerEntry,
  S3CacheConfig,
} from "./config.ts";
export { DOCKER_KEYS } from "./docker-keys.ts";
export type { DockerKey, DockerKeyName, NewRunnerDocker } from "./docker-keys.ts";
export { addRunner, removeRunners, updateRunners } from "./edit/edit.ts";
export type { AddedRunner, NewRunner } from "./edit/new-runner.ts";
export { RunnerConfigError } from "./errors.ts";
export { lintRunnerConfig, parseRunnerConfig } from "./parse.ts";
export type { ParsedConfig, ParseOptions } from "./parse.ts";
