import type { Logger } from "@fleetfoot/coordinator-client";
import { createShellExecutor } from "@fleetfoot/executor-shell";
import type { RunnerEntry } from "@fleetfoot/runner-config";
import type { ChildGroups } from "./child-groups.ts";
import { createDockerJobExecutor } from "./docker-executor.ts";
import { imagePrefixOf } from "./gitlab-images.ts";
import type { JobExecutor } from "./job-executor.ts";

/** Names that `executor` in `config.toml` may have. */
export const SUPPORTED_EXECUTORS: readonly string[] = ["shell", "docker"];

/** Where an executor does its work. */
export interface ExecutorPlace {
  readonly environment: Readonly<Record<string, string>>;
  readonly systemId: string;
  /** Tells the jobs of this process from those of another one with the same token here. */
  readonly instance: string;
  /** Absolute. */
  readonly workingDirectory: string;
  /** Jobs that run in containers now. */
  readonly runningJobs: Set<number>;
  /** How many of them use an image or a volume now. */
  readonly held: Map<string, number>;
  /** Starts the processes of jobs on this host. */
  readonly spawn: ChildGroups["spawn"];
  readonly logger: Logger;
}

/** Makes the executor of a runner; undefined when its name is not supported. */
export function createExecutor(
  runner: Pick<RunnerEntry, "docker" | "environment" | "executor" | "shell" | "token">,
  place: ExecutorPlace,
): JobExecutor | undefined {
  switch (runner.executor) {
    case "shell": {
      const { environment, spawn } = place;
      const shell = createShellExecutor({ shell: runner.shell === "sh" ? "sh" : "bash", environment, spawn });
      return { ...shell, close: async () => undefined };
    }
    case "docker":
      return createDockerJobExecutor({
        ...place,
        token: runner.token,
        docker: runner.docker,
        imagePrefix: imagePrefixOf(runner.environment),
      });
    default:
      return undefined;
  }
}
