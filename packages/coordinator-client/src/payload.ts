/**
 * The job as the coordinator sends it, field for field.
 *
 * Go-style decoding rules hold: unknown fields are ignored, `null` and an absent field both mean the zero value, and a
 * field of the wrong JSON type makes the whole job undecodable. Optional fields are the ones a sender may leave out.
 *
 * @see https://docs.gitlab.com/api/runners/ (coordinator-protocol 5.1, 5.2)
 */
export interface JobPayload {
  readonly id: number;
  readonly token: string;
  readonly allow_git_fetch: boolean;
  readonly job_info: JobInfo;
  readonly git_info: GitInfo;
  readonly runner_info: RunnerLimits;
  readonly variables: readonly JobVariable[];
  readonly steps: readonly JobStep[];
  readonly image: JobImage | null;
  readonly services: readonly JobImage[];
  readonly artifacts: readonly JobArtifact[];
  readonly cache: readonly JobCache[];
  readonly credentials: readonly JobCredential[];
  readonly dependencies: readonly JobDependency[];
  readonly features: ServerFeatures;
  readonly hooks: readonly JobHook[];
  /** Variable name to one provider object; kept as it came, since each provider has a shape of its own. */
  readonly secrets: Readonly<Record<string, unknown>>;
  readonly inputs: readonly unknown[];
  /** Step definitions as JSON inside a string; empty when `steps` is used. */
  readonly run: string;
  readonly policy_options?: PolicyOptions;
  readonly suspend_options?: SuspendOptions;
}

/** What the job is and where it belongs. */
export interface JobInfo {
  readonly id?: number;
  readonly name: string;
  readonly stage: string;
  readonly project_id: number;
  readonly project_name: string;
  readonly project_full_path?: string;
  readonly pipeline_id?: number;
  readonly time_in_queue_seconds?: number;
  /** A number, or `5+`, or `+Inf`. */
  readonly project_jobs_running_on_instance_runners_count?: string;
  readonly namespace_id?: number;
  readonly root_namespace_id?: number;
  readonly organization_id?: number;
  readonly instance_id?: string;
  readonly instance_uuid?: string;
  readonly user_id?: number;
  readonly scoped_user_id?: number | null;
  readonly queue_size?: number;
  readonly queue_depth?: number;
}

/** Which commit to build and how to fetch it. */
export interface GitInfo {
  readonly repo_url: string;
  readonly repo_object_format?: string;
  readonly ref: string;
  readonly sha: string;
  readonly before_sha: string;
  readonly ref_type: string;
  readonly refspecs?: readonly string[];
  /** Number of commits to fetch; 0 fetches all. */
  readonly depth?: number;
  readonly protected?: boolean | null;
}

/** Limits that the coordinator sets for this job. */
export interface RunnerLimits {
  /** Seconds; zero or less means 7200. */
  readonly timeout: number;
  readonly uuid?: string;
  readonly runner_session_url?: string;
}

/** One variable. Later entries win over earlier ones of the same key. */
export interface JobVariable {
  readonly key: string;
  readonly value: string;
  readonly public?: boolean;
  /** The value goes into a file and the variable holds its path. */
  readonly file?: boolean;
  /** The value must not appear in the log. */
  readonly masked?: boolean;
  /** `$NAME` in the value stays as it is. */
  readonly raw?: boolean;
}

/** One script of the job: `script`, `after_script`, or a named further one such as `release`. */
export interface JobStep {
  readonly name: string;
  readonly script: readonly string[];
  readonly timeout?: number;
  readonly when?: string;
  readonly allow_failure?: boolean;
}

/** A container image, as the job's own or as a service. */
export interface JobImage {
  readonly name: string;
  readonly alias?: string;
  readonly command?: readonly string[];
  readonly entrypoint?: readonly string[];
  readonly ports?: readonly { readonly number: number; readonly protocol?: string; readonly name?: string }[];
  readonly variables?: readonly JobVariable[];
  readonly pull_policy?: readonly string[];
  readonly executor_opts?: Readonly<Record<string, unknown>>;
}

/** One set of files to upload when the job ends. */
export interface JobArtifact {
  readonly name?: string;
  readonly untracked?: boolean;
  readonly paths?: readonly string[];
  readonly exclude?: readonly string[];
  /** `on_success` (also when empty), `on_failure` or `always`. */
  readonly when?: string;
  readonly artifact_type?: string;
  readonly artifact_format?: string;
  readonly expire_in?: string;
}

/** One cache to restore before the scripts run and to save after them. */
export interface JobCache {
  readonly key: string;
  readonly untracked?: boolean;
  readonly policy?: string;
  readonly paths?: readonly string[];
  readonly when?: string;
  readonly fallback_keys?: readonly string[];
}

/** A login; type `registry` is a container registry. */
export interface JobCredential {
  readonly type: string;
  readonly url: string;
  readonly username: string;
  readonly password: string;
}

/** An earlier job whose artifacts this one gets; without a file name there is nothing to download. */
export interface JobDependency {
  readonly id: number;
  readonly name: string;
  readonly token: string;
  readonly artifacts_file?: { readonly filename?: string; readonly size?: number };
}

/** What this coordinator understands. */
export interface ServerFeatures {
  readonly trace_sections?: boolean;
  readonly token_mask_prefixes?: readonly string[];
  readonly failure_reasons?: readonly string[];
  readonly tracing?: TracingFeature | null;
}

/** Where the spans of the job belong. */
export interface TracingFeature {
  readonly trace_id?: string;
  readonly span_parent_id?: string;
  /** Kept as they came. */
  readonly otel_endpoints?: readonly unknown[];
}

/** What a policy of the instance says about the job. */
export interface PolicyOptions {
  readonly execution_policy_job?: boolean;
  readonly policy_name?: string;
  readonly policy_variables_override_allowed?: boolean | null;
  readonly policy_variables_override_exceptions?: readonly string[];
}

/** Whether the job's environment is kept for later. */
export interface SuspendOptions {
  readonly suspend_on_success?: boolean;
  readonly suspend_on_failure?: boolean;
  readonly runtime_environment_key?: string;
}

/** A script that runs before or after the sources are fetched. */
export interface JobHook {
  readonly name: string;
  readonly script: readonly string[];
}
