import type { Secret } from "@fleetfoot/coordinator-client";

/** The runner that got the job, with its settings of the configuration file. */
export interface RunnerSettings {
  readonly name: string;
  /** Authentication token of the runner. */
  readonly token: Secret;
  /** This machine, for instance `s_0a1b2c3d4e5f`. */
  readonly systemId: string;
  /** Address of the instance. Without one no artifacts are uploaded. */
  readonly url: string;
  /** Name of the program in the log's first line and in git's user agent. @default "fleetfoot" */
  readonly program?: string;
  /** @default "development" */
  readonly version?: string;
  /** @default "unknown" */
  readonly revision?: string;
  /** Absolute directory below which projects lie. */
  readonly buildsDirectory: string;
  /** Absolute directory below which caches lie. */
  readonly cacheDirectory: string;
  /**
   * Whether jobs share the builds directory, so that each gets a directory of its own in it.
   *
   * @default true
   */
  readonly sharedBuildsDirectory?: boolean;
  /** Whether `GIT_CLONE_PATH` may move the project. @default false */
  readonly customBuildDirectory?: boolean;
  /** Entries `NAME=value` for every job; the job's own variables win. @default [] */
  readonly environment?: readonly string[];
  /** Flags `FF_*`; they win over the job's variables. @default {} */
  readonly featureFlags?: Readonly<Record<string, boolean>>;
  /** Shell for which scripts are written. @default "bash" */
  readonly shell?: "bash" | "sh";
  /** Bytes of log that are kept. @default 4_194_304 */
  readonly outputLimitBytes?: number;
  /** Whether `CI_DEBUG_TRACE` has no effect. @default false */
  readonly debugTraceDisabled?: boolean;
  /** Lines before the sources are fetched. */
  readonly preGetSourcesScript?: string;
  /** Lines after the sources were fetched. */
  readonly postGetSourcesScript?: string;
  /** Lines before each step, in the step's own shell. */
  readonly preBuildScript?: string;
  /** Lines after each step that succeeded, in the step's own shell. */
  readonly postBuildScript?: string;
  /** Address that replaces scheme and host of the repository's. */
  readonly cloneUrl?: string;
  /** Whether `.git/config` and hooks of an earlier job are removed. @default false */
  readonly cleanGitConfig?: boolean;
  /** What a cache counts as that was made on another operating system or architecture. @default "warn" */
  readonly foreignArchitecture?: "warn" | "miss";
  /** Limit of the stages before the sources; the job's limit when 0, negative or longer. @default 0 */
  readonly prepareTimeoutMs?: number;
  /** Limit of fetching the sources, all tries together; as above. @default 0 */
  readonly getSourcesTimeoutMs?: number;
  /** Certificates for the instance, as PEM text, given to the job and to git. */
  readonly tls?: { readonly authority?: string; readonly certificate?: string; readonly key?: string };
}
