/** A whole `config.toml`, defaults filled in. */
export interface RunnerConfig {
  /** Jobs at once over all runners, at least 1. */
  readonly concurrent: number;
  /** Polling period of all runners together. */
  readonly checkIntervalMs: number;
  readonly logLevel: LogLevel;
  readonly logFormat: "runner" | "text" | "json";
  /** Address for metrics, with the port as written; undefined: none. */
  readonly listenAddress: string | undefined;
  /** Limit of a forced shutdown. */
  readonly shutdownTimeoutMs: number;
  /** Age at which connections to the instance are made anew; 0: never. */
  readonly connectionMaxAgeMs: number;
  /** In the order of the file, without those that have no token. */
  readonly runners: readonly RunnerEntry[];
}

export type LogLevel = "trace" | "debug" | "info" | "warning" | "error" | "fatal" | "panic";

/** One `[[runners]]` section, defaults filled in. */
export interface RunnerEntry {
  /** Local description; may be empty. */
  readonly name: string;
  /** Variables of the environment expanded. */
  readonly url: string;
  /** Variables of the environment expanded. A secret: never print it. */
  readonly token: string;
  /** As the instance numbers it. */
  readonly id: number | undefined;
  /** RFC 3339. */
  readonly tokenObtainedAt: string | undefined;
  /** RFC 3339; undefined: the token does not expire. */
  readonly tokenExpiresAt: string | undefined;
  /** As written; undefined: the file that is named after the host. */
  readonly tlsCaFile: string | undefined;
  /** As written; undefined: the file that is named after the host. */
  readonly tlsCertificateFile: string | undefined;
  /** As written; undefined: the file that is named after the host. */
  readonly tlsKeyFile: string | undefined;
  /** Name as written, for example `shell`; may be one that nobody supports. */
  readonly executor: string;
  /** Jobs of this runner at once; 0: no limit of its own. */
  readonly limit: number;
  /** Job requests at once, at least 1. */
  readonly requestConcurrency: number;
  /** Whether the next request waits for its turn even after a job was received. */
  readonly strictCheckInterval: boolean;
  readonly outputLimitBytes: number;
  /** Unhealthy answers in a row after which the runner pauses. */
  readonly unhealthyRequestsLimit: number;
  readonly unhealthyIntervalMs: number;
  /** Rounds of reporting how a job ended. */
  readonly jobStatusFinalUpdateRetryLimit: number;
  /** As written; undefined: the executor's default. */
  readonly buildsDirectory: string | undefined;
  /** As written; undefined: the executor's default. */
  readonly cacheDirectory: string | undefined;
  readonly cloneUrl: string | undefined;
  /** `NAME=value` for every job. */
  readonly environment: readonly string[];
  readonly shell: string;
  readonly preGetSourcesScript: string | undefined;
  readonly postGetSourcesScript: string | undefined;
  readonly preBuildScript: string | undefined;
  readonly postBuildScript: string | undefined;
  /** 0: the job's own limit. */
  readonly prepareTimeoutMs: number;
  /** 0: the job's own limit. */
  readonly getSourcesTimeoutMs: number;
  /** Whether jobs cannot ask for a debug trace. */
  readonly debugTraceDisabled: boolean;
  /** Undefined: the executor decides. */
  readonly cleanGitConfig: boolean | undefined;
  /** Whether `GIT_CLONE_PATH` is allowed; undefined: the executor decides. */
  readonly customBuildDirectory: boolean | undefined;
  /** `FF_*` flags; they win over job variables. */
  readonly featureFlags: Readonly<Record<string, boolean>>;
  /** Undefined: no `[runners.cache]`. */
  readonly cache: RunnerCache | undefined;
}

/** `[runners.cache]` without the sections of the stores. */
export interface RunnerCache {
  /** In lower case; undefined: caches stay on this host. */
  readonly type: string | undefined;
  /** Prefix of object names. */
  readonly path: string;
  /** Whether runners share caches of a project. */
  readonly shared: boolean;
  /** 0: no limit. */
  readonly maxUploadedArchiveBytes: number;
}

/** Something that is wrong or has no effect in a file. Messages never contain tokens. */
export interface ConfigProblem {
  /** For example `runners[0].url`; empty for the file as a whole. */
  readonly path: string;
  /** With an error the file cannot be used. */
  readonly severity: "error" | "warning";
  /** Short, stable word for programs. */
  readonly code: string;
  readonly message: string;
}
