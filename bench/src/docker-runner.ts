import type { ChildProcess } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { DockerEngine } from "@fleetfoot-tooling/systems";
import { startLocalCoordinator, type StartedCoordinator } from "@fleetfoot/local-coordinator";
import { startFleetfootRun, stopFleetfootRun } from "./fleetfoot-run.ts";

const POLL_HOLD_MS = 10_000;

export interface DockerRunnerOptions {
  readonly engine: DockerEngine;
  readonly image: string;
  readonly concurrent: number;
  /** Lines of the runner's section. @default none */
  readonly settings?: string;
}

/** A runner with containers that waits for jobs. */
export interface DockerRunner {
  readonly coordinator: StartedCoordinator;
  readonly runner: ChildProcess;
}

/** Starts a coordinator, and a runner with containers of the engine, for as long as something is done with them. */
export async function withDockerRunner<Result>(
  { engine, image, concurrent, settings = "" }: DockerRunnerOptions,
  action: (started: DockerRunner) => Promise<Result>,
): Promise<Result> {
  const folder = await mkdtemp(join(tmpdir(), "fleetfoot-bench-"));
  await using coordinator = await startLocalCoordinator({
    stateDirectory: join(folder, "coordinator"),
    longPolling: { holdMs: POLL_HOLD_MS, onWake: "assign" },
  });
  const docker = `[runners.docker]\nhost = "${engine.dockerHost}"\nimage = "${image}"\npull_policy = "if-not-present"\n`;
  const more = `${settings}\n${docker}`;
  const runner = await startFleetfootRun({ coordinator, folder, concurrent, executor: "docker", settings: more });
  try {
    return await action({ coordinator, runner });
  } finally {
    await stopFleetfootRun(runner);
    await rm(folder, { recursive: true });
  }
}
