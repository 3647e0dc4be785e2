/** Major versions of the reference runner whose calls differ. */
export type ReferenceGeneration = 14 | 16 | 19;

/** How the calls of one version look. */
export interface ReferenceForm {
  readonly version: string;
  readonly userAgent: string;
  /** One fresh id per call. */
  readonly hasRequestId: boolean;
  /** The runner's token also as a header. */
  readonly hasRunnerTokenHeader: boolean;
  readonly updatesWithJobTokenHeader: boolean;
  /** Machines tell who they are. */
  readonly hasSystemId: boolean;
  /** `paused` when it registers; older ones say `active`. */
  readonly hasPaused: boolean;
  readonly verifiesWithInfo: boolean;
  /** `debug_trace` in the address of a piece of the log. */
  readonly tellsDebugTrace: boolean;
  /** All features that it knows the names of; each is sent, true or false. */
  readonly features: readonly string[];
  /** What is true before an executor is chosen. */
  readonly networkFeatures: readonly string[];
  /** What is true with its shell executor. */
  readonly shellFeatures: readonly string[];
}

/** What a runner of that version sends as its features. */
export function featuresOf(form: ReferenceForm, wanted: readonly string[]): Readonly<Record<string, boolean>> {
  return Object.fromEntries(form.features.map((feature) => [feature, wanted.includes(feature)]));
}

const oldNetwork = ["trace_reset", "trace_checksum", "trace_size", "cancelable"];
const oldShell = [
  "artifacts",
  "upload_multiple_artifacts",
  "upload_raw_artifacts",
  "cache",
  "refspecs",
  "masking",
  "raw_variables",
  "artifacts_exclude",
  "multi_build_steps",
  "vault_secrets",
  "return_exit_code",
  "variables",
  "shared",
  "session",
  "terminal",
];
const features14 = [...oldNetwork, ...oldShell, "image", "services", "proxy", "service_variables"];
const features16 = [
  ...features14,
  "fallback_cache_keys",
  "service_multiple_aliases",
  "image_executor_opts",
  "service_executor_opts",
  "cancel_gracefully",
];
const network16 = [...oldNetwork, "cancel_gracefully"];
const network19 = [...network16, "two_phase_job_commit", "job_inputs"];

/** The forms of the versions, from the sources of the reference runner: 14.10, 16.11 and 19.4. @see coordinator-protocol 1.2, 4.2 */
export const referenceForms: Readonly<Record<ReferenceGeneration, ReferenceForm>> = {
  14: {
    version: "14.10.1",
    userAgent: "gitlab-runner 14.10.1 (14-10-stable; go1.17.7; linux/amd64)",
    hasRequestId: false,
    hasRunnerTokenHeader: false,
    updatesWithJobTokenHeader: false,
    hasSystemId: false,
    hasPaused: false,
    verifiesWithInfo: false,
    tellsDebugTrace: false,
    features: features14,
    networkFeatures: oldNetwork,
    shellFeatures: [...oldNetwork, ...oldShell],
  },
  16: {
    version: "16.11.0",
    userAgent: "gitlab-runner 16.11.0 (16-11-stable; go1.21.9; linux/amd64)",
    hasRequestId: false,
    hasRunnerTokenHeader: false,
    updatesWithJobTokenHeader: false,
    hasSystemId: true,
    hasPaused: true,
    verifiesWithInfo: false,
    tellsDebugTrace: true,
    features: features16,
    networkFeatures: network16,
    shellFeatures: [...network16, ...oldShell, "fallback_cache_keys"],
  },
  19: {
    version: "19.4.0",
    userAgent: "gitlab-runner 19.4.0 (19-4-stable; go1.26.5; linux/amd64)",
    hasRequestId: true,
    hasRunnerTokenHeader: true,
    updatesWithJobTokenHeader: true,
    hasSystemId: true,
    hasPaused: true,
    verifiesWithInfo: true,
    tellsDebugTrace: true,
    features: [...features16, "native_steps_integration", "two_phase_job_commit", "job_inputs"],
    networkFeatures: network19,
    shellFeatures: [...network19, ...oldShell, "fallback_cache_keys", "native_steps_integration"],
  },
};
