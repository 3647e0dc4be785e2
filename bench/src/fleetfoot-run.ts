import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { StartedCoordinator } from "@fleetfoot/local-coordinator";
import { fleetfootProgram } from "./process.ts";

export interface FleetfootRunOptions {
  readonly coordinator: StartedCoordinator;
  /** Holds the configuration, the working copies and the caches. */
  readonly folder: string;
  readonly concurrent: number;
  /** @default "shell" */
  readonly executor?: "docker" | "shell";
  /** What follows the settings that every runner has, such as the section of its cache. @default nothing */
  readonly settings?: string;
}

/** Starts `fleetfoot run`, as it is installed, and resolves when it waits for jobs. */
export async function startFleetfootRun(options: FleetfootRunOptions): Promise<ChildProcess> {
  const { coordinator, folder, concurrent, executor = "shell", settings = "" } = options;
  const { token } = coordinator.createRunner();
  const config = join(folder, "config.toml");
  await writeFile(
    config,
    `concurrent = ${concurrent}\ncheck_interval = 1\n\n[[runners]]\nname = "bench"\nurl = "${coordinator.url}"\ntoken = "${token}"\nexecutor = "${executor}"\nrequest_concurrency = ${concurrent}\n${settings}`,
    { mode: 0o600 },
  );
  const runner = spawn(process.execPath, [fleetfootProgram, "run", "--config", config, "--working-directory", folder], {
    stdio: ["ignore", "ignore", "pipe"],
    // Jobs run in login shells, whose start is as slow as the user's profile; a home without one leaves that out.
    env: { ...process.env, HOME: folder },
  });
  await new Promise<void>((resolve) => {
    runner.stderr.on("data", (text: Buffer) => {
      if (text.includes("Waiting for jobs")) resolve();
    });
  });
  return runner;
}

export async function stopFleetfootRun(runner: ChildProcess): Promise<void> {
  const ended = once(runner, "exit");
  runner.kill("SIGTERM");
  await ended;
}

/** What a process has in memory now, and the most that it ever had, in megabytes. */
export async function residentMb(child: ChildProcess): Promise<{ readonly now: number; readonly most: number }> {
  const status = await readFile(`/proc/${child.pid}/status`, "utf8");
  const megabytes = (field: string): number => Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1]) / 1000;
  return { now: megabytes("VmRSS"), most: megabytes("VmHWM") };
}
