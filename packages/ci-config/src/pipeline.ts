/** A pipeline that is ready to be run: every keyword resolved, every rule decided. */
export interface Pipeline {
  /** From `workflow:name`, variables expanded. */
  readonly name: string | undefined;
  /** In order, with `.pre` and `.post` where jobs use them. */
  readonly stages: readonly string[];
  /** In order of stage, then of the file. */
  readonly jobs: readonly PipelineJob[];
}

/** One job, in the terms of the configuration; payloads for a runner are made from it. */
export interface PipelineJob {
  /** Unique; parallel ones end in ` 1/3` or `: [a, b]`. */
  readonly name: string;
  /** Name in the file, the same for all parallel instances. */
  readonly baseName: string;
  readonly stage: string;
  readonly script: readonly string[];
  /** `before_script` followed by `script` is one shell; kept apart for display. */
  readonly beforeScript: readonly string[];
  readonly afterScript: readonly string[];
  /** Global, then job, then rule variables; later ones win. Not expanded. */
  readonly variables: readonly PipelineVariable[];
  readonly when: "on_success" | "on_failure" | "always" | "manual" | "delayed";
  /** For `when: delayed`, in milliseconds. */
  readonly startInMs: number | undefined;
  readonly allowFailure: AllowFailure;
  readonly retry: RetryPolicy;
  /** Undefined when neither the job nor the file sets one. */
  readonly timeoutSeconds: number | undefined;
  /** Undefined: the job waits for its stage. */
  readonly needs: readonly JobNeed[] | undefined;
  /** Names of jobs whose artifacts this one gets; undefined: all of earlier stages, or of `needs`. */
  readonly dependencies: readonly string[] | undefined;
  readonly artifacts: JobArtifacts | undefined;
  readonly cache: readonly CacheEntry[];
  readonly image: PipelineImage | undefined;
  readonly services: readonly PipelineImage[];
  readonly tags: readonly string[];
  readonly parallel: { readonly index: number; readonly total: number } | undefined;
  readonly resourceGroup: string | undefined;
  readonly interruptible: boolean;
  readonly environment: PipelineEnvironment | undefined;
  readonly hooks: { readonly preGetSources: readonly string[] };
  /** Line of the job in its file, from 1. */
  readonly source: SourcePosition;
}

export interface PipelineEnvironment {
  /** Variables expanded. */
  readonly name: string;
  /** Not expanded: the job may define what it contains. */
  readonly url: string | undefined;
  /** Absent: `start`. */
  readonly action?: string;
  /** From `deployment_tier`. */
  readonly tier?: string;
}

export interface PipelineVariable {
  readonly key: string;
  readonly value: string;
  /** From `expand: false`: `$NAME` in the value stays as it is. */
  readonly raw: boolean;
}

export interface AllowFailure {
  readonly allowed: boolean;
  /** Non-empty: only these exit codes are forgiven. */
  readonly exitCodes: readonly number[];
}

export interface RetryPolicy {
  /** 0 to 2. */
  readonly max: number;
  readonly when: readonly string[];
  readonly exitCodes: readonly number[];
}

export interface JobNeed {
  /** Name of a job in the pipeline. */
  readonly job: string;
  readonly artifacts: boolean;
  readonly optional: boolean;
}

export interface JobArtifacts {
  readonly name: string | undefined;
  readonly paths: readonly string[];
  readonly exclude: readonly string[];
  readonly untracked: boolean;
  readonly when: "on_success" | "on_failure" | "always";
  readonly expireIn: string | undefined;
  /** Report type to paths, for example `junit` to `["junit.xml"]`. */
  readonly reports: Readonly<Record<string, readonly string[]>>;
}

export interface CacheEntry {
  readonly key: CacheKeySource;
  readonly paths: readonly string[];
  readonly untracked: boolean;
  readonly policy: string;
  readonly when: "on_success" | "on_failure" | "always";
  readonly fallbackKeys: readonly string[];
  readonly unprotect: boolean;
}

/** Where a cache key comes from; digests of files are the coordinator's to compute. */
export type CacheKeySource =
  | { readonly kind: "text"; readonly text: string }
  | {
      readonly kind: "files" | "files_commits";
      readonly files: readonly string[];
      readonly prefix: string | undefined;
    };

export interface PipelineImage {
  readonly name: string;
  readonly alias?: string;
  readonly entrypoint?: readonly string[];
  readonly command?: readonly string[];
  readonly pullPolicy?: readonly string[];
  readonly variables?: readonly PipelineVariable[];
  readonly dockerOptions?: { readonly platform?: string; readonly user?: string };
}

export interface SourcePosition {
  readonly file: string;
  /** From 1. */
  readonly line: number;
}

/** Something the author of the file should know. */
export interface Problem extends SourcePosition {
  readonly code: string;
  /** What is wrong, naming the job or keyword and what to do. */
  readonly message: string;
}
