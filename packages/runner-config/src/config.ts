/** A `config.toml`, read and checked. Durations are milliseconds, sizes bytes, whatever the file writes them in. */
export interface RunnerConfig {
  /** Jobs at once over all runners. @default 1 */
  readonly concurrent: number;
  /** Time in which every runner is asked once. @default 3000 */
  readonly checkIntervalMs: number;
  /** @default "info" */
  readonly logLevel: string;
  /** @default "runner" */
  readonly logFormat: string;
  /** @default undefined, no server */
  readonly listenAddress: string | undefined;
  /** Time for jobs to end when the process is told to stop. @default 30000 */
  readonly shutdownTimeoutMs: number;
  /** Age at which idle connections are closed; 0 or less never. @default 900000 */
  readonly connectionMaxAgeMs: number;
  /** In the order of the file. */
  readonly runners: readonly RunnerEntry[];
}

/** One `[[runners]]`. */
export interface RunnerEntry {
  /** @default "" */
  readonly name: string;
  readonly url: string;
  /** Empty: the runner is skipped. */
  readonly token: string;
  readonly id: number;
  readonly tokenObtainedAt: string | undefined;
  readonly tokenExpiresAt: string | undefined;
  /** For example `shell`. */
  readonly executor: string;
  /** Jobs of this runner at once; 0 is no limit. @default 0 */
  readonly limit: number;
  /** @default 1 */
  readonly requestConcurrency: number;
  /** @default false */
  readonly strictCheckInterval: boolean;
  /** @default 4194304 */
  readonly outputLimitBytes: number;
  /** @default 3 */
  readonly unhealthyRequestsLimit: number;
  /** @default 3600000 */
  readonly unhealthyIntervalMs: number;
  /** @default 10 */
  readonly jobStatusFinalUpdateRetryLimit: number;
  readonly buildsDirectory: string | undefined;
  readonly cacheDirectory: string | undefined;
  readonly cloneUrl: string | undefined;
  /** Entries `NAME=value`. @default [] */
  readonly environment: readonly string[];
  /** @default "bash" */
  readonly shell: string;
  readonly preGetSourcesScript: string | undefined;
  readonly postGetSourcesScript: string | undefined;
  readonly preBuildScript: string | undefined;
  readonly postBuildScript: string | undefined;
  /** 0: the job's own limit. @default 0 */
  readonly prepareTimeoutMs: number;
  /** 0: the job's own limit. @default 0 */
  readonly getSourcesTimeoutMs: number;
  /** @default false */
  readonly debugTraceDisabled: boolean;
  /** Undefined: as fits the executor. */
  readonly cleanGitConfig: boolean | undefined;
  /** Undefined: as fits the executor. */
  readonly customBuildDirectory: boolean | undefined;
  /** `FF_...` to its value. @default {} */
  readonly featureFlags: Readonly<Record<string, boolean>>;
  readonly cache: CacheSettings;
}

/** `[runners.cache]`. */
export interface CacheSettings {
  /** For example `s3`; undefined: caches stay on the host. */
  readonly type: string | undefined;
  /** Prefix of object names. @default "" */
  readonly path: string;
  /** Whether runners share caches. @default false */
  readonly shared: boolean;
  /** 0 is no limit. @default 0 */
  readonly maxUploadedArchiveBytes: number;
}

/** Something about the file that its owner should know. */
export interface ConfigProblem {
  readonly severity: "error" | "warning";
  /** For example `runners[1].executor`; empty when the file as a whole is meant. */
  readonly path: string;
  /** What is wrong and what to do, without any token. */
  readonly message: string;
}

/** What a runner's entry is written from. */
export interface NewRunnerEntry {
  readonly name: string;
  readonly url: string;
  readonly id: number;
  readonly token: string;
  readonly tokenObtainedAt: string;
  readonly tokenExpiresAt: string | undefined;
  readonly executor: string;
  readonly limit?: number;
  readonly shell?: string;
  readonly buildsDirectory?: string;
  readonly cacheDirectory?: string;
  readonly environment?: readonly string[];
}
