import { shortToken } from "@fleetfoot/coordinator-client";
import type { JobPayload, JobVariable } from "@fleetfoot/coordinator-client";

import type { JobDirectories } from "../executor.ts";
import type { RunnerSettings } from "../runner-settings.ts";
import { ENVIRONMENT_FILE } from "./environment-file.ts";
import type { FeatureFlags } from "./feature-flags.ts";

export interface CollectOptions {
  readonly payload: JobPayload;
  readonly runner: RunnerSettings;
  readonly flags: FeatureFlags;
  readonly directories: JobDirectories;
  readonly concurrentId: number;
  readonly concurrentProjectId: number;
  readonly jobTimeoutMs: number;
  /** What the executor sets for its kind of place. */
  readonly executorVariables: Readonly<Record<string, string>>;
}

/** All variables of a job in order of precedence, the strongest last. @see job-execution 1.9 */
export function collectVariables(options: CollectOptions): JobVariable[] {
  return [
    ...named(Object.entries(options.flags).map(([name, value]) => [name, String(value)])),
    ...runnerVariables(options),
    ...options.payload.variables,
    ...finalVariables(options),
  ];
}

function runnerVariables(options: CollectOptions): JobVariable[] {
  const { payload, runner, directories } = options;
  return [
    ...named(payload.image === null ? [] : [["CI_JOB_IMAGE", payload.image.name]]),
    ...named([["CI_RUNNER_SHORT_TOKEN", shortToken(runner.token.reveal())]]),
    ...configuredVariables(runner.environment ?? []),
    ...named([
      ["CI_BUILDS_DIR", directories.builds],
      ["CI_PROJECT_DIR", directories.project],
      ["CI_CONCURRENT_ID", String(options.concurrentId)],
      ["CI_CONCURRENT_PROJECT_ID", String(options.concurrentProjectId)],
      ["CI_SERVER", "yes"],
      ["CI_JOB_STATUS", "running"],
      ["CI_JOB_TIMEOUT", String(Math.round(options.jobTimeoutMs / 1_000))],
    ]),
    ...certificateVariables(runner.tls ?? {}),
  ];
}

/** These cannot be overridden by a job. */
function finalVariables({ runner, directories, executorVariables }: CollectOptions): JobVariable[] {
  return named([
    ...Object.entries(executorVariables),
    ["CI_RUNNER_VERSION", runner.version ?? DEFAULT_VERSION],
    ["CI_RUNNER_REVISION", runner.revision ?? DEFAULT_REVISION],
    ["CI_RUNNER_EXECUTABLE_ARCH", `${goPlatform()}/${goArchitecture()}`],
    ["RUNNER_TEMP_PROJECT_DIR", directories.temporary],
    ["GITLAB_ENV", `${directories.temporary}/${ENVIRONMENT_FILE}`],
  ]);
}

export const DEFAULT_VERSION = "development";
export const DEFAULT_REVISION = "unknown";

/** Operating system as the protocol spells it. */
export function goPlatform(): string {
  return process.platform === "win32" ? "windows" : process.platform;
}

/** Processor as the protocol spells it. */
export function goArchitecture(): string {
  return { x64: "amd64", ia32: "386" }[process.arch as string] ?? process.arch;
}

function named(entries: readonly (readonly [string, string])[]): JobVariable[] {
  // Paths and names are data: a `$` in them is no reference.
  return entries.map(([key, value]) => ({ key, value, public: true, raw: true }));
}

function configuredVariables(entries: readonly string[]): JobVariable[] {
  return entries.flatMap((entry) => {
    const at = entry.indexOf("=");
    return at > 0 ? [{ key: entry.slice(0, at), value: entry.slice(at + 1) }] : [];
  });
}

function certificateVariables(tls: NonNullable<RunnerSettings["tls"]>): JobVariable[] {
  const files = [
    ["CI_SERVER_TLS_CA_FILE", tls.authority],
    ["CI_SERVER_TLS_CERT_FILE", tls.certificate],
    ["CI_SERVER_TLS_KEY_FILE", tls.key],
  ] as const;
  return files.flatMap(([key, value]) =>
    value === undefined || value === "" ? [] : [{ key, value, file: true, raw: true, public: true }],
  );
}
