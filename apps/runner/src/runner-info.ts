import { arch, platform } from "node:os";
import type { RunnerInfo } from "@fleetfoot/coordinator-client";
import { version } from "./version.ts";

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64", ia32: "386" };

const CONTAINER_FEATURES = {
  image: true,
  services: true,
  service_variables: true,
  service_multiple_aliases: true,
  image_executor_opts: true,
  service_executor_opts: true,
} as const;

/** How this program introduces itself, with what it really does and nothing else. */
export function runnerInfo(executor: string, shell: string): RunnerInfo {
  return {
    name: "fleetfoot",
    version,
    platform: platform(),
    architecture: ARCHITECTURES[arch()] ?? arch(),
    executor,
    shell,
    features: {
      variables: true,
      shared: true,
      artifacts: true,
      upload_multiple_artifacts: true,
      upload_raw_artifacts: true,
      artifacts_exclude: true,
      cache: true,
      fallback_cache_keys: true,
      refspecs: true,
      masking: true,
      raw_variables: true,
      multi_build_steps: true,
      return_exit_code: true,
      job_inputs: false,
      ...(executor === "docker" ? CONTAINER_FEATURES : {}),
    },
  };
}
