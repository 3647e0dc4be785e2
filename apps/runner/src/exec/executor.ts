import { createHash } from "node:crypto";
import { noopLogger } from "@fleetfoot/coordinator-client";
import { createShellExecutor } from "@fleetfoot/executor-shell";
import type { RunnerSettings } from "@fleetfoot/job-runner";
import { createDockerJobExecutor } from "../executors/docker-executor.ts";
import type { JobExecutor } from "../executors/job-executor.ts";
import type { ExecOptions } from "./options.ts";

/** What runs the scripts of a local run, and where they find their files. */
interface ExecExecutor extends Pick<
  RunnerSettings,
  "buildsDirectory" | "cacheDirectory" | "cleanGitConfig" | "customBuildDirectory" | "sharedBuildsDirectory" | "shell"
> {
  readonly executor: JobExecutor;
}

/** Images that are here are taken as they are: a local run shall not need a network for what it has. */
const PULL_POLICY = ["if-not-present"];
const PULL_POLICIES = ["always", "if-not-present", "never"];

export function createExecExecutor(
  options: Pick<ExecOptions, "executor" | "image" | "shell" | "stateDirectory">,
  directories: { readonly builds: string; readonly caches: string },
  environment: Readonly<Record<string, string>>,
  token: string,
): ExecExecutor {
  const { shell, stateDirectory } = options;
  if (options.executor === "shell") {
    const executor = createShellExecutor({ shell, login: false, environment });
    return {
      executor: { ...executor, close: async () => undefined },
      shell,
      buildsDirectory: directories.builds,
      cacheDirectory: directories.caches,
    };
  }
  const identity = createHash("sha256").update(stateDirectory).digest("hex").slice(0, 12);
  const executor = createDockerJobExecutor({
    token,
    // What another local run has on the same engine is not this one's to remove.
    systemId: `r_${identity}`,
    instance: identity,
    workingDirectory: stateDirectory,
    docker: { image: options.image, pullPolicy: PULL_POLICY, allowedPullPolicies: PULL_POLICIES },
    environment,
    runningJobs: new Set(),
    held: new Map(),
    logger: noopLogger,
  });
  return {
    executor,
    shell: "sh",
    buildsDirectory: "/builds",
    cacheDirectory: "/cache",
    sharedBuildsDirectory: false,
    customBuildDirectory: true,
    cleanGitConfig: true,
  };
}
