import type { JobVariable } from "@fleetfoot/coordinator-client";

import { parseBoolean } from "./settings.ts";

/** The flags that change what this package does. */
type FeatureFlag =
  | "FF_ENABLE_BASH_EXIT_CODE_CHECK"
  | "FF_ENABLE_JOB_CLEANUP"
  | "FF_GIT_URLS_WITHOUT_TOKENS"
  | "FF_HASH_CACHE_KEYS"
  | "FF_TIMESTAMPS"
  | "FF_USE_EXPONENTIAL_BACKOFF_STAGE_RETRY"
  | "FF_USE_PARALLEL_CACHE_TRANSFER";

export type FeatureFlags = Readonly<Record<FeatureFlag, boolean>>;

const DEFAULTS: FeatureFlags = {
  FF_ENABLE_BASH_EXIT_CODE_CHECK: false,
  FF_ENABLE_JOB_CLEANUP: false,
  FF_GIT_URLS_WITHOUT_TOKENS: false,
  FF_HASH_CACHE_KEYS: false,
  FF_TIMESTAMPS: true,
  FF_USE_EXPONENTIAL_BACKOFF_STAGE_RETRY: true,
  FF_USE_PARALLEL_CACHE_TRANSFER: false,
};

/** Decides each flag: the configuration beats the job, the job beats the default. A value that is no boolean does not count. */
export function resolveFeatureFlags(
  configured: Readonly<Record<string, boolean>>,
  variables: readonly JobVariable[],
): FeatureFlags {
  const flags: Record<FeatureFlag, boolean> = { ...DEFAULTS };
  for (const { key, value } of variables) {
    if (isFlag(key)) flags[key] = parseBoolean(value) ?? flags[key];
  }
  for (const [key, value] of Object.entries(configured)) {
    if (isFlag(key)) flags[key] = value;
  }
  return flags;
}

/** `NAME:value` of every flag that is not at its default. */
export function changedFlags(flags: FeatureFlags): string[] {
  return Object.entries(flags)
    .filter(([name, value]) => DEFAULTS[name as FeatureFlag] !== value)
    .map(([name, value]) => `${name}:${value}`);
}

function isFlag(name: string): name is FeatureFlag {
  return Object.hasOwn(DEFAULTS, name);
}
