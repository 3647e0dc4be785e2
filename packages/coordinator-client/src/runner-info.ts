/**
 * Everything a runner can say that it is able to do, in the order of the protocol's list.
 *
 * @see coordinator-protocol 4.2
 */
export const RUNNER_FEATURES = [
  "variables",
  "image",
  "services",
  "artifacts",
  "cache",
  "fallback_cache_keys",
  "shared",
  "upload_multiple_artifacts",
  "upload_raw_artifacts",
  "session",
  "terminal",
  "refspecs",
  "masking",
  "proxy",
  "raw_variables",
  "artifacts_exclude",
  "multi_build_steps",
  "trace_reset",
  "trace_checksum",
  "trace_size",
  "vault_secrets",
  "cancelable",
  "return_exit_code",
  "service_variables",
  "service_multiple_aliases",
  "image_executor_opts",
  "service_executor_opts",
  "cancel_gracefully",
  "native_steps_integration",
  "two_phase_job_commit",
  "job_inputs",
] as const;

export type RunnerFeature = (typeof RUNNER_FEATURES)[number];

/** How the runner introduces itself to the coordinator. */
export interface RunnerInfo {
  /** Name of the program, for instance `gitlab-runner`. */
  readonly name: string;
  /** Version of the program, for instance `19.4.0`. The coordinator enables features by it. */
  readonly version: string;
  readonly revision?: string;
  /** Branch the program was built from. @default `<major>-<minor>-stable` of the version */
  readonly branch?: string;
  /** Operating system as the protocol spells it: `linux`, `darwin`, `windows`. */
  readonly platform?: string;
  /** Processor as the protocol spells it: `amd64`, `arm64`. */
  readonly architecture?: string;
  readonly executor?: string;
  readonly shell?: string;
  /**
   * What the runner can do. The seven features of the transport itself are on unless they are set to false here; all
   * others are off unless they are set to true. Jobs that need a feature that is off are never assigned.
   */
  readonly features?: Readonly<Partial<Record<RunnerFeature, boolean>>>;
  readonly config?: { readonly gpus: string };
  /** At most 32, keys of 3 to 65 and values of 1 to 256 letters, digits, dots, underscores and dashes. */
  readonly labels?: Readonly<Record<string, string>>;
}

/** The features that the calls of this package implement by themselves. */
const TRANSPORT_FEATURES: ReadonlySet<RunnerFeature> = new Set([
  "trace_reset",
  "trace_checksum",
  "trace_size",
  "cancelable",
  "cancel_gracefully",
  "two_phase_job_commit",
  "job_inputs",
]);

/** The `info` member of a request: empty strings and labels left out, every feature a boolean. */
export function encodeRunnerInfo(info: RunnerInfo): Readonly<Record<string, unknown>> {
  const encoded: Record<string, unknown> = {};
  for (const key of ["name", "version", "revision", "platform", "architecture", "executor", "shell"] as const) {
    if (info[key]) {
      encoded[key] = info[key];
    }
  }
  const features: Record<string, boolean> = {};
  for (const feature of RUNNER_FEATURES) {
    features[feature] = info.features?.[feature] ?? TRANSPORT_FEATURES.has(feature);
  }
  encoded["features"] = features;
  encoded["config"] = { gpus: info.config?.gpus ?? "" };
  if (info.labels !== undefined && Object.keys(info.labels).length > 0) {
    encoded["labels"] = info.labels;
  }
  return encoded;
}

/**
 * The `User-Agent` value: `gitlab-runner <version> (<branch>; <language version>; <os>/<arch>)`.
 *
 * It begins with `gitlab-runner` whatever the program is called, since coordinators know runners by it.
 */
export function userAgent(info: RunnerInfo, languageVersion: string): string {
  const [major, minor] = info.version.split(".");
  const branch = info.branch ?? (minor === undefined ? "main" : `${major}-${minor}-stable`);
  return `gitlab-runner ${info.version} (${branch}; ${languageVersion}; ${info.platform || "linux"}/${info.architecture || "amd64"})`;
}
