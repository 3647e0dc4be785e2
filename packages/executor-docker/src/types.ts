import type { Writable } from "node:stream";

import type { EngineOptions } from "./engine/address.ts";

/** Waits; rejects with the signal's reason when it is aborted. */
export type Sleep = (ms: number, signal?: AbortSignal) => Promise<void>;

/** How jobs run in containers. */
export interface DockerExecutorOptions {
  /** The engine. @default the local one */
  readonly engine?: EngineOptions;
  /** The runner that gets the jobs. Names and volumes of containers are made of it. */
  readonly runner: DockerRunner;
  /**
   * Absolute directory on this host. Sources are fetched and caches are kept below it; only this executor writes there. A sweep touches only
   * what was made with the same directory: another process with the same token on this machine has one of its own.
   */
  readonly hostDirectory: string;
  /** What `[runners.docker]` says. @default {} */
  readonly settings?: DockerSettings;
  /** How files come to the containers. @default "auto" */
  readonly workspace?: WorkspaceChoice;
  /** Home directory in which credentials for registries are looked for. @default none are looked for */
  readonly homeDirectory?: string;
  /** Environment in which credential helpers run. @default {} */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /**
   * Gives the reference under which an image is really pulled, for example from a mirror. Lists of allowed images are about the name
   * that was written.
   *
   * @throws {DockerConfigurationError} the image or what the job says of it cannot be used
   * @default every image as it is
   */
  readonly imageReference?: (image: string, request: DockerPrepareRequest) => string;
  /**
   * Finds the login for an image before this package does it itself, for registries whose names have several spellings.
   *
   * @default no such registries are known
   */
  readonly registryAuth?: MatchRegistryLogin;
  /**
   * Says what a failed pull may come from, for registries that do not say it themselves; a line of the job's log.
   *
   * @default nothing is said
   */
  readonly pullAdvice?: (reference: string, message: string) => string | undefined;
  /** Idle time after which connections to the engine are probed; 0 switches it off. @default 10_000 */
  readonly keepAliveMs?: number;
  /**
   * File to which the keys of TLS connections to the engine are appended, for decrypting a capture. Who has it can read all
   * that jobs send and receive.
   *
   * @default none
   */
  readonly keyLogFile?: string;
  /** Time between asking a container's processes to end and ending them. @default 5_000 */
  readonly stopGraceMs?: number;
  /** Time for which a lost connection to a running container is tried to be made anew. @default 120_000 */
  readonly reconnectMs?: number;
  /** Silence of a job after which the engine is asked whether it still runs; 0: never. @default 60_000 */
  readonly silenceCheckMs?: number;
  /**
   * Ids of the jobs that run now; grows and shrinks. Executors with the same runner and directory share one set, or a sweep of one
   * would remove what belongs to the other's jobs.
   *
   * @default a set of its own
   */
  readonly runningJobs?: Set<number>;
  /**
   * How many jobs use an image or a volume now; grows and shrinks. Executors with the same engine share one map, or the garbage
   * collection of one could remove an image that the other's job has just found.
   *
   * @default a map of its own
   */
  readonly held?: Map<string, number>;
  /** Waits; rejects with the signal's reason when it is aborted. @default a timer */
  readonly sleep?: Sleep;
  /** Epoch milliseconds. @default Date.now */
  readonly now?: () => number;
  /** As many lower-case hexadecimal digits as asked for. @default of node:crypto */
  readonly randomHex?: (digits: number) => string;
}

/** Finds the login that fits an image, with its server as the image spells it; of equal ones the first. */
export type MatchRegistryLogin = <Login extends { readonly type: string; readonly url: string }>(
  image: string,
  logins: readonly Login[],
) => { readonly serverAddress: string; readonly credentials: Login } | undefined;

export type WorkspaceChoice = "archive" | "auto" | "helper-image" | "shared-directory";

/** The runner that gets the jobs. */
export interface DockerRunner {
  /** Authentication token; only a digest and its short form leave this process. */
  readonly token: { reveal(): string };
  /** Token without its prefix, nine characters. */
  readonly shortToken: string;
  /** This machine, for instance `s_0a1b2c3d4e5f`. */
  readonly systemId: string;
  /** Name of this host in the line "Running on …". @default os.hostname() */
  readonly hostName?: string;
}

/** `pull_policy`. @see https://docs.gitlab.com/runner/executors/docker/#configure-how-runners-pull-images */
export type PullPolicy = "always" | "if-not-present" | "never";

/**
 * `[runners.docker]`: the keys of the file in camel case. Sizes are bytes unless a text with a unit is meant.
 *
 * @see https://docs.gitlab.com/runner/configuration/advanced-configuration/#the-runnersdocker-section
 */
export interface DockerSettings {
  /** Image of jobs that name none. */
  readonly image?: string | undefined;
  readonly pullPolicy?: readonly string[] | undefined;
  /** @default pullPolicy */
  readonly allowedPullPolicies?: readonly string[] | undefined;
  /** Patterns; empty: all. */
  readonly allowedImages?: readonly string[] | undefined;
  /** Patterns; empty: all. */
  readonly allowedServices?: readonly string[] | undefined;
  /** Patterns of images that may be privileged; empty: all. */
  readonly allowedPrivilegedImages?: readonly string[] | undefined;
  readonly allowedPrivilegedServices?: readonly string[] | undefined;
  readonly allowedUsers?: readonly string[] | undefined;
  readonly user?: string | undefined;
  readonly privileged?: boolean | undefined;
  /** @default privileged */
  readonly servicesPrivileged?: boolean | undefined;
  readonly volumes?: readonly string[] | undefined;
  /** Directory on the engine's host for kept volumes. @default named volumes */
  readonly cacheDirectory?: string | undefined;
  readonly disableCache?: boolean | undefined;
  readonly volumeKeep?: boolean | undefined;
  readonly volumeDriver?: string | undefined;
  readonly volumeDriverOptions?: Readonly<Record<string, string>> | undefined;
  readonly volumesFrom?: readonly string[] | undefined;
  readonly networkMode?: string | undefined;
  readonly networkMtu?: number | undefined;
  readonly enableIpv6?: boolean | undefined;
  readonly extraHosts?: readonly string[] | undefined;
  readonly dns?: readonly string[] | undefined;
  readonly dnsSearch?: readonly string[] | undefined;
  readonly links?: readonly string[] | undefined;
  readonly macAddress?: string | undefined;
  readonly hostname?: string | undefined;
  /** For example `128m`. */
  readonly memory?: string | undefined;
  readonly memorySwap?: string | undefined;
  readonly memoryReservation?: string | undefined;
  /** For example `1.5`. */
  readonly cpus?: string | undefined;
  readonly cpuShares?: number | undefined;
  readonly cpusetCpus?: string | undefined;
  readonly cpusetMems?: string | undefined;
  readonly cgroupParent?: string | undefined;
  /** Name to `soft` or `soft:hard`. */
  readonly ulimit?: Readonly<Record<string, string>> | undefined;
  readonly pidsLimit?: number | undefined;
  readonly shmSizeBytes?: number | undefined;
  /** Path to mount options. */
  readonly tmpfs?: Readonly<Record<string, string>> | undefined;
  readonly servicesTmpfs?: Readonly<Record<string, string>> | undefined;
  /** `host[:container[:rwm]]`. */
  readonly devices?: readonly string[] | undefined;
  /** Pattern of image to devices. */
  readonly servicesDevices?: Readonly<Record<string, readonly string[]>> | undefined;
  readonly deviceCgroupRules?: readonly string[] | undefined;
  readonly gpus?: string | undefined;
  readonly serviceGpus?: string | undefined;
  readonly capAdd?: readonly string[] | undefined;
  readonly capDrop?: readonly string[] | undefined;
  readonly groupAdd?: readonly string[] | undefined;
  readonly securityOpt?: readonly string[] | undefined;
  readonly servicesSecurityOpt?: readonly string[] | undefined;
  readonly sysctls?: Readonly<Record<string, string>> | undefined;
  readonly runtime?: string | undefined;
  readonly usernsMode?: string | undefined;
  readonly pidMode?: string | undefined;
  readonly ipcMode?: string | undefined;
  readonly isolation?: string | undefined;
  readonly oomKillDisable?: boolean | undefined;
  readonly oomScoreAdjust?: number | undefined;
  readonly disableEntrypointOverwrite?: boolean | undefined;
  /** Seconds; negative: do not wait. @default 30 */
  readonly waitForServicesTimeout?: number | undefined;
  /** Negative: no limit. @default -1 */
  readonly servicesLimit?: number | undefined;
  readonly serviceMemory?: string | undefined;
  readonly serviceMemorySwap?: string | undefined;
  readonly serviceMemoryReservation?: string | undefined;
  readonly serviceCpus?: string | undefined;
  readonly serviceCpuShares?: number | undefined;
  readonly serviceCpusetCpus?: string | undefined;
  readonly serviceCgroupParent?: string | undefined;
  /** Image with a shell and git, in which sources are fetched; expanded. @default sources are fetched on this host */
  readonly helperImage?: string | undefined;
  /**
   * Whether `collectGarbage` removes anything: of the volumes that are kept for later jobs those of this runner, of the images those
   * that it pulled.
   *
   * @default false
   */
  readonly garbageCollection?: boolean | undefined;
  /** Days without use after which something goes. @default 14 */
  readonly garbageCollectionMaxAgeDays?: number | undefined;
  /** For example `50g`; of all volumes together, and of all images together. @default no limit */
  readonly garbageCollectionMaxSize?: string | undefined;
  /** Values are expanded. */
  readonly containerLabels?: Readonly<Record<string, string>> | undefined;
  readonly logOptions?: Readonly<Record<string, string>> | undefined;
  readonly services?: readonly ConfiguredService[] | undefined;
}

/** One `[[runners.docker.services]]`. */
export interface ConfiguredService {
  readonly name: string;
  readonly alias?: string | undefined;
  readonly command?: readonly string[] | undefined;
  readonly entrypoint?: readonly string[] | undefined;
  /** `NAME=value`. */
  readonly environment?: readonly string[] | undefined;
}

/** Runs jobs in containers. */
export interface DockerExecutor {
  readonly name: "docker";
  /** @throws {DockerExecutorError} */
  prepare(request: DockerPrepareRequest): Promise<DockerEnvironment>;
  /**
   * Removes what runners of this machine with this token have left behind: containers, networks and temporary volumes of jobs
   * that do not run here. What cannot be removed does not keep the rest.
   *
   * @throws {EngineUnreachableError | EngineResponseError}
   * @throws {AggregateError} some of it could not be removed
   */
  sweep(options: { readonly signal: AbortSignal }): Promise<SweepResult>;
  /**
   * Removes kept volumes and pulled images that no job has used for long, and the longest unused ones of too many. Does nothing
   * unless the settings have `garbageCollection`.
   *
   * Volumes: those with the labels of this runner and this machine, that no container has. Images: those that this executor pulled,
   * that no container is made of, and whose every name is one by which a job asked for them; so a further tag keeps an image.
   *
   * @throws {EngineUnreachableError | EngineResponseError}
   */
  collectGarbage(options: { readonly signal: AbortSignal }): Promise<GarbageResult>;
  /** Closes the connections to the engine. */
  close(): Promise<void>;
}

export interface SweepResult {
  readonly containers: number;
  readonly networks: number;
  readonly volumes: number;
}

/** What a garbage collection has removed. */
export interface GarbageResult {
  readonly volumes: number;
  readonly images: number;
  /** Of both, as the engine tells them: layers count for each image that has them. */
  readonly bytes: number;
}

/** Absolute paths of one job. */
export interface DockerDirectories {
  readonly builds: string;
  readonly project: string;
  readonly temporary: string;
  readonly cache: string;
}

/** What an image is asked to do, as a job says it. */
export interface DockerImage {
  readonly name: string;
  readonly alias?: string;
  readonly command?: readonly string[];
  readonly entrypoint?: readonly string[];
  readonly variables?: readonly DockerVariable[];
  readonly pull_policy?: readonly string[];
  readonly executor_opts?: Readonly<Record<string, unknown>>;
}

export interface DockerVariable {
  readonly key: string;
  readonly value: string;
  readonly raw?: boolean;
}

/** The part of a job's payload that this package reads. */
export interface DockerJob {
  readonly id: number;
  readonly image: DockerImage | null;
  readonly services: readonly DockerImage[];
  readonly credentials: readonly {
    readonly type: string;
    readonly url: string;
    readonly username: string;
    readonly password: string;
  }[];
  readonly job_info: { readonly project_id: number; readonly pipeline_id?: number };
  readonly git_info: {
    readonly sha: string;
    readonly ref: string;
    readonly before_sha?: string;
    readonly protected?: boolean | null;
  };
  readonly runner_info: { readonly timeout: number };
  readonly cache: readonly { readonly key?: string; readonly untracked?: boolean }[];
  readonly artifacts?: readonly { readonly untracked?: boolean }[];
}

export interface DockerPrepareRequest {
  readonly jobId: number;
  readonly projectId: number;
  readonly payload: DockerJob;
  readonly concurrentProjectId: number;
  readonly keepsWorkingCopy: boolean;
  /** As scripts see them. */
  readonly directories: DockerDirectories;
  readonly variables: ReadonlyMap<string, string>;
  readonly lookupContent: (name: string) => string | undefined;
  readonly publicVariables: ReadonlySet<string>;
  /** Writes one line into the job's log. */
  readonly log: (text: string) => void;
  readonly warn: (text: string) => void;
  /**
   * Opens a stream into the job's log for what a service prints. It is closed with the log.
   *
   * @default nobody wants to see it
   */
  readonly serviceOutput?: (channel: "stderr" | "stdout") => Writable;
  readonly signal: AbortSignal;
}

export interface DockerEnvironment {
  readonly workspace: DockerWorkspace;
  readonly variables: Readonly<Record<string, string>>;
  /** Host name of the container, and of this host. */
  readonly description: string;
  /**
   * Runs one script in the job's container and resolves when that has ended and its output is written.
   *
   * @throws {DockerExecutorError} it could not be started, or the container was lost
   * @throws {unknown} what one of the two streams failed with
   */
  run(request: DockerRunRequest): Promise<DockerExit>;
  cleanup(options: { readonly signal: AbortSignal }): Promise<void>;
}

/** Carries files between this host and the containers. */
export interface DockerWorkspace {
  /** On this host. */
  readonly directories: DockerDirectories;
  readonly isolated: true;
  /** Where `helperImage` counts: runs scripts of the runner beside the files of the job's scripts, as root, with git. */
  readonly helper?: { run(request: DockerRunRequest): Promise<DockerExit> };
  /** Gives the scripts all files that lie in the directories of this host. */
  publish(options: { readonly signal: AbortSignal }): Promise<void>;
  /** Fetches the named files of the project, or all but `.git`; and the file behind `GITLAB_ENV`. */
  collect(options: { readonly paths?: readonly string[]; readonly signal: AbortSignal }): Promise<void>;
}

export interface DockerRunRequest {
  /** Whole text of the script. */
  readonly script: string;
  /** Not ended by the executor. */
  readonly stdout: Writable;
  /** Not ended by the executor. */
  readonly stderr: Writable;
  /** Stops the script; `run` still resolves, with the exit that came of it. */
  readonly signal: AbortSignal;
}

export interface DockerExit {
  readonly code: number;
  /** `exit code 7` */
  readonly text: string;
}
