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
  /** Undefined: no `[runners.docker]`. */
  readonly docker: RunnerDocker | undefined;
  /** Undefined: no `[runners.cache]`. */
  readonly cache: RunnerCache | undefined;
}

/**
 * `[runners.docker]`; what the file does not have is undefined. Sizes and numbers of processors are as written.
 *
 * @see https://docs.gitlab.com/runner/configuration/advanced-configuration/#the-runnersdocker-section
 */
export interface RunnerDocker {
  readonly host: string | undefined;
  readonly tlsCertificatePath: string | undefined;
  readonly tlsVerify: boolean | undefined;
  readonly image: string | undefined;
  readonly pullPolicy: readonly string[] | undefined;
  readonly allowedPullPolicies: readonly string[] | undefined;
  readonly allowedImages: readonly string[] | undefined;
  readonly allowedServices: readonly string[] | undefined;
  readonly allowedPrivilegedImages: readonly string[] | undefined;
  readonly allowedPrivilegedServices: readonly string[] | undefined;
  readonly allowedUsers: readonly string[] | undefined;
  readonly user: string | undefined;
  readonly privileged: boolean | undefined;
  readonly servicesPrivileged: boolean | undefined;
  readonly volumes: readonly string[] | undefined;
  readonly cacheDirectory: string | undefined;
  readonly disableCache: boolean | undefined;
  readonly volumeKeep: boolean | undefined;
  readonly volumeDriver: string | undefined;
  readonly volumeDriverOptions: Readonly<Record<string, string>> | undefined;
  readonly volumesFrom: readonly string[] | undefined;
  readonly networkMode: string | undefined;
  readonly networkMtu: number | undefined;
  readonly enableIpv6: boolean | undefined;
  readonly extraHosts: readonly string[] | undefined;
  readonly dns: readonly string[] | undefined;
  readonly dnsSearch: readonly string[] | undefined;
  readonly links: readonly string[] | undefined;
  readonly macAddress: string | undefined;
  readonly hostname: string | undefined;
  readonly memory: string | undefined;
  readonly memorySwap: string | undefined;
  readonly memoryReservation: string | undefined;
  readonly cpus: string | undefined;
  readonly cpuShares: number | undefined;
  readonly cpusetCpus: string | undefined;
  readonly cpusetMems: string | undefined;
  readonly cgroupParent: string | undefined;
  readonly ulimit: Readonly<Record<string, string>> | undefined;
  readonly pidsLimit: number | undefined;
  readonly shmSizeBytes: number | undefined;
  readonly tmpfs: Readonly<Record<string, string>> | undefined;
  readonly servicesTmpfs: Readonly<Record<string, string>> | undefined;
  readonly devices: readonly string[] | undefined;
  readonly servicesDevices: Readonly<Record<string, readonly string[]>> | undefined;
  readonly deviceCgroupRules: readonly string[] | undefined;
  readonly gpus: string | undefined;
  readonly serviceGpus: string | undefined;
  readonly capAdd: readonly string[] | undefined;
  readonly capDrop: readonly string[] | undefined;
  readonly groupAdd: readonly string[] | undefined;
  readonly securityOpt: readonly string[] | undefined;
  readonly servicesSecurityOpt: readonly string[] | undefined;
  readonly sysctls: Readonly<Record<string, string>> | undefined;
  readonly runtime: string | undefined;
  readonly usernsMode: string | undefined;
  readonly pidMode: string | undefined;
  readonly ipcMode: string | undefined;
  readonly isolation: string | undefined;
  readonly oomKillDisable: boolean | undefined;
  readonly oomScoreAdjust: number | undefined;
  readonly disableEntrypointOverwrite: boolean | undefined;
  /** Seconds; negative: do not wait. */
  readonly waitForServicesTimeout: number | undefined;
  readonly servicesLimit: number | undefined;
  readonly serviceMemory: string | undefined;
  readonly serviceMemorySwap: string | undefined;
  readonly serviceMemoryReservation: string | undefined;
  readonly serviceCpus: string | undefined;
  readonly serviceCpuShares: number | undefined;
  readonly serviceCpusetCpus: string | undefined;
  readonly serviceCgroupParent: string | undefined;
  readonly garbageCollection: boolean | undefined;
  readonly garbageCollectionMaxAgeDays: number | undefined;
  readonly garbageCollectionMaxSize: string | undefined;
  readonly helperImage: string | undefined;
  readonly containerLabels: Readonly<Record<string, string>> | undefined;
  readonly logOptions: Readonly<Record<string, string>> | undefined;
  readonly services: readonly RunnerDockerService[];
}

/** One `[[runners.docker.services]]`. */
export interface RunnerDockerService {
  readonly name: string;
  readonly alias: string | undefined;
  readonly command: readonly string[] | undefined;
  readonly entrypoint: readonly string[] | undefined;
  /** `NAME=value` */
  readonly environment: readonly string[] | undefined;
}

/** `[runners.cache]`; the old flat keys of S3 are where the new ones are. */
export interface RunnerCache {
  /** In lower case; undefined: caches stay on this host. */
  readonly type: string | undefined;
  /** Prefix of object names. */
  readonly path: string;
  /** Whether runners share caches of a project. */
  readonly shared: boolean;
  /** 0: no limit. */
  readonly maxUploadedArchiveBytes: number;
  /** What an archive counts as that was made on another operating system or architecture. A key of Fleetfoot's own. */
  readonly foreignArchitecture: "warn" | "miss";
  readonly s3: S3CacheConfig | undefined;
  readonly gcs: GcsCacheConfig | undefined;
  readonly azure: AzureCacheConfig | undefined;
  readonly local: LocalCacheConfig | undefined;
}

/** `[runners.cache.local]`, for `Type = "local"`: a directory that several runners and hosts may share. A section of Fleetfoot's own. */
export interface LocalCacheConfig {
  /** Absolute path; empty: none. */
  readonly directory: string;
  /** Most bytes of all archives together; 0: no limit. What was used longest ago goes first. */
  readonly maxBytes: number;
  /** Time without use after which an archive goes, in milliseconds; 0: no limit. */
  readonly maxUnusedMs: number;
  /** Bytes of the disk that stay free, whoever fills it; 0: none. */
  readonly minFreeBytes: number;
}

/** `[runners.cache.s3]`. Keys and tokens are secrets: never print them. */
export interface S3CacheConfig {
  /** `host[:port]`; empty: the service of Amazon. */
  readonly serverAddress: string;
  readonly accessKey: string;
  readonly secretKey: string;
  readonly sessionToken: string;
  readonly bucketName: string;
  /** Region; empty: to be asked for. */
  readonly bucketLocation: string;
  /** Whether the server speaks plain HTTP. */
  readonly insecure: boolean;
  /** Undefined: keys count together with a `serverAddress` only. */
  readonly authenticationType: "iam" | "access-key" | undefined;
  readonly serverSideEncryption: "AES256" | "aws:kms" | "aws:kms:dsse" | undefined;
  /** Id, ARN or `alias/…`; empty: none. */
  readonly serverSideEncryptionKeyId: string;
  readonly dualStack: boolean;
  readonly accelerate: boolean;
  /** Undefined: as the host needs it. */
  readonly pathStyle: boolean | undefined;
  /** Empty: none. */
  readonly roleArn: string;
  /** Empty: none. */
  readonly uploadRoleArn: string;
  /** 0: the default; less: no limit. */
  readonly assumeRoleMaxConcurrency: number;
  readonly disableAssumeRoleCredentialsCaching: boolean;
}

/** `[runners.cache.gcs]`. The key is a secret: never print it. */
export interface GcsCacheConfig {
  /** Path; empty: none. */
  readonly credentialsFile: string;
  readonly accessId: string;
  readonly privateKey: string;
  readonly bucketName: string;
  /** Empty: the public cloud. */
  readonly universeDomain: string;
}

/** `[runners.cache.azure]`. The key is a secret: never print it. */
export interface AzureCacheConfig {
  readonly accountName: string;
  /** Empty: tokens of an identity. */
  readonly accountKey: string;
  readonly containerName: string;
  /** Empty: the public cloud. */
  readonly storageDomain: string;
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
