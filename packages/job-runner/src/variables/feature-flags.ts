import type { JobVariable } from "@fleetfoot/coordinator-client";

import { parseBoolean } from "./settings.ts";

/** The flags that change what this package does, with their defaults. */
const FEATURE_FLAGS = {
  FF_ENABLE_BASH_EXIT_CODE_CHECK: false,
  FF_ENABLE_JOB_CLEANUP: false,
  FF_GIT_URLS_WITHOUT_TOKENS: false,
  FF_HASH_CACHE_KEYS: false,
  FF_TIMESTAMPS: true,
  FF_USE_EXPONENTIAL_BACKOFF_STAGE_RETRY: true,
} as const satisfies Readonly<Record<string, boolean>>;

type FeatureFlag = keyof typeof FEATURE_FLAGS;

export type FeatureFlags = Readonly<Record<FeatureFlag, boolean>>;

/** Decides each flag: the configuration beats the job, the job beats the default. A value that is no boolean does not count. */
export function resolveFeatureFlags(
  configured: Readonly<Record<string, boolean>>,
  variables: readonly JobVariable[],
): FeatureFlags {
  const flags: Record<FeatureFlag, boolean> = { ...FEATURE_FLAGS };
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
    .filter(([name, value]) => FEATURE_FLAGS[name as FeatureFlag] !== value)
    .map(([name, value]) => `${name}:${value}`);
}

function isFlag(name: string): name is FeatureFlag {
  return Object.hasOwn(FEATURE_FLAGS, name);
}
