import type {
  GitInfo,
  JobArtifact,
  JobCache,
  JobCredential,
  JobDependency,
  JobHook,
  JobImage,
  JobInfo,
  JobPayload,
  JobStep,
  JobVariable,
  PolicyOptions,
  RunnerLimits,
  ServerFeatures,
  SuspendOptions,
  TracingFeature,
} from "../payload.ts";
import type { Decoder } from "./shape.ts";
import { boolean, fail, integer, isRecord, list, nullable, number, object, record, text } from "./shape.ts";

/**
 * Reads the body of an answer that assigns a job: every known field has its zero value when it is absent or `null`, and
 * unknown fields are ignored.
 *
 * @throws {ShapeError} a field has the wrong JSON type, `id` is not positive, or an input does not match its type
 * @see coordinator-protocol 5.1, 5.2
 */
export function decodeJobPayload(body: unknown): JobPayload {
  if (!isRecord(body)) {
    return fail("", "an object", body);
  }
  return jobPayload(body, "");
}

/**
 * Why a job that could be read must not run all the same.
 *
 * @returns text for the job's log; undefined when the job may run
 * @see coordinator-protocol 5.3
 */
export function rejectionOf(job: JobPayload): string | undefined {
  const images = [...(job.image === null ? [] : [job.image]), ...job.services];
  for (const [index, image] of images.entries()) {
    const place = job.image !== null && index === 0 ? "image" : "services";
    const unknown = unknownExecutorOption(image.executor_opts ?? {});
    if (unknown !== undefined) {
      return `This runner does not know the executor option "${unknown}" of ${place} "${image.name}". Remove it or use a newer runner.`;
    }
  }
  if (job.run !== "") {
    if (job.steps.some((step) => step.script.length > 0)) {
      return 'This job has both "run" and a script. Keep one of them.';
    }
    if (job.variables.some((variable) => variable.key === "STEPS")) {
      return 'This job has "run" and a variable named STEPS, which "run" needs for itself. Rename the variable.';
    }
  }
  return undefined;
}

const KNOWN_EXECUTOR_OPTIONS: Readonly<Record<string, readonly string[]>> = {
  docker: ["platform", "user"],
  kubernetes: ["user"],
};

function unknownExecutorOption(options: Readonly<Record<string, unknown>>): string | undefined {
  for (const [executor, value] of Object.entries(options)) {
    const known = Object.hasOwn(KNOWN_EXECUTOR_OPTIONS, executor) ? KNOWN_EXECUTOR_OPTIONS[executor] : undefined;
    if (known === undefined) {
      return executor;
    }
    const unknown = Object.keys(isRecord(value) ? value : {}).find((key) => !known.includes(key));
    if (unknown !== undefined) {
      return `${executor}.${unknown}`;
    }
  }
  return undefined;
}

const texts = list(text);

const jobInfo: Decoder<JobInfo> = object<JobInfo>({
  id: integer,
  name: text,
  stage: text,
  project_id: integer,
  project_name: text,
  project_full_path: text,
  pipeline_id: integer,
  time_in_queue_seconds: number,
  project_jobs_running_on_instance_runners_count: text,
  namespace_id: integer,
  root_namespace_id: integer,
  organization_id: integer,
  instance_id: text,
  instance_uuid: text,
  user_id: integer,
  scoped_user_id: nullable(integer),
  queue_size: integer,
  queue_depth: integer,
});

const gitInfo: Decoder<GitInfo> = object<GitInfo>({
  repo_url: text,
  repo_object_format: text,
  ref: text,
  sha: text,
  before_sha: text,
  ref_type: text,
  refspecs: texts,
  depth: integer,
  protected: nullable(boolean),
});

const runnerLimits: Decoder<RunnerLimits> = object<RunnerLimits>({
  timeout: integer,
  uuid: text,
  runner_session_url: text,
});

const variable: Decoder<JobVariable> = object<JobVariable>({
  key: text,
  value: text,
  public: boolean,
  file: boolean,
  masked: boolean,
  raw: boolean,
});

const step: Decoder<JobStep> = object<JobStep>({
  name: text,
  script: texts,
  timeout: integer,
  when: text,
  allow_failure: boolean,
});

/** The members of known executors must be objects; which members there are is for {@link rejectionOf} to judge. */
const executorOptions: Decoder<Readonly<Record<string, unknown>>> = (value, path) => {
  const options = record(value, path);
  const docker = record(options["docker"], `${path}.docker`);
  text(docker["platform"], `${path}.docker.platform`);
  checkUser(docker["user"], `${path}.docker.user`);
  checkUser(record(options["kubernetes"], `${path}.kubernetes`)["user"], `${path}.kubernetes.user`);
  return options;
};

const image: Decoder<JobImage> = object<JobImage>({
  name: text,
  alias: text,
  command: texts,
  entrypoint: texts,
  ports: list(object({ number: integer, protocol: text, name: text })),
  variables: list(variable),
  pull_policy: texts,
  executor_opts: executorOptions,
});

const artifact: Decoder<JobArtifact> = object<JobArtifact>({
  name: text,
  untracked: boolean,
  paths: texts,
  exclude: texts,
  when: text,
  artifact_type: text,
  artifact_format: text,
  expire_in: text,
});

const cache: Decoder<JobCache> = object<JobCache>({
  key: text,
  untracked: boolean,
  policy: text,
  paths: texts,
  when: text,
  fallback_keys: texts,
});

const credential: Decoder<JobCredential> = object<JobCredential>({
  type: text,
  url: text,
  username: text,
  password: text,
});

const dependency: Decoder<JobDependency> = object<JobDependency>({
  id: integer,
  name: text,
  token: text,
  artifacts_file: object({ filename: text, size: integer }),
});

const tracing: Decoder<TracingFeature> = object<TracingFeature>({
  trace_id: text,
  span_parent_id: text,
  otel_endpoints: list((value: unknown) => value),
});

const features: Decoder<ServerFeatures> = object<ServerFeatures>({
  trace_sections: boolean,
  token_mask_prefixes: texts,
  failure_reasons: texts,
  tracing: nullable(tracing),
});

const hook: Decoder<JobHook> = object<JobHook>({ name: text, script: texts });

const secrets: Decoder<Readonly<Record<string, unknown>>> = (value, path) => {
  const all = record(value, path);
  for (const [name, secret] of Object.entries(all)) {
    boolean(record(secret, `${path}.${name}`)["file"], `${path}.${name}.file`);
  }
  return all;
};

const input: Decoder<unknown> = (value, path) => {
  const { key, value: content } = object({ key: text, value: inputValue })(value, path);
  return key === "" ? fail(`${path}.key`, "a name", key) : { key, value: content };
};

const inputValue: Decoder<unknown> = (value, path) => {
  const { type, sensitive } = object({ type: text, sensitive: boolean })(value, path);
  const content = record(value, path)["content"];
  const matches = INPUT_TYPES.get(type) ?? fail(`${path}.type`, "a known input type", type);
  return matches(content) ? { type, content, sensitive } : fail(`${path}.content`, `of type ${type}`, content);
};

const INPUT_TYPES: ReadonlyMap<string, (content: unknown) => boolean> = new Map<string, (content: unknown) => boolean>([
  ["string", (content) => typeof content === "string"],
  ["number", (content) => typeof content === "number"],
  ["boolean", (content) => typeof content === "boolean"],
  ["array", Array.isArray],
  ["struct", isRecord],
]);

const positiveId: Decoder<number> = (value, path) => {
  const id = integer(value, path);
  return id > 0 ? id : fail(path, "a positive integer", value);
};

const policyOptions: Decoder<PolicyOptions> = object<PolicyOptions>({
  execution_policy_job: boolean,
  policy_name: text,
  policy_variables_override_allowed: nullable(boolean),
  policy_variables_override_exceptions: texts,
});

const suspendOptions: Decoder<SuspendOptions> = object<SuspendOptions>({
  suspend_on_success: boolean,
  suspend_on_failure: boolean,
  runtime_environment_key: text,
});

const jobPayload: Decoder<JobPayload> = object<JobPayload>({
  id: positiveId,
  token: text,
  allow_git_fetch: boolean,
  job_info: jobInfo,
  git_info: gitInfo,
  runner_info: runnerLimits,
  variables: list(variable),
  steps: list(step),
  image: nullable(image),
  services: list(image),
  artifacts: list(artifact),
  cache: list(cache),
  credentials: list(credential),
  dependencies: list(dependency),
  features,
  hooks: list(hook),
  secrets,
  inputs: list(input),
  run: text,
  policy_options: policyOptions,
  suspend_options: suspendOptions,
});

function checkUser(value: unknown, path: string): void {
  if (typeof value !== "string" && !Number.isInteger(value) && value !== undefined && value !== null) {
    fail(path, "a string or an integer", value);
  }
}
