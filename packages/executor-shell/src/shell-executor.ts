import { spawn as spawnProcess } from "node:child_process";
import { hostname } from "node:os";

import { findShell } from "./find-shell.ts";
import type { ProcessGroup } from "./process-group.ts";
import { runScript } from "./run-script.ts";
import { sleep as realSleep } from "./sleep.ts";
import type { ShellEnvironment, ShellExecutor, ShellExecutorOptions, ShellPrepareRequest } from "./types.ts";

/**
 * Makes an executor that runs the scripts of jobs as processes of this host.
 *
 * One script is one process start. Each gets a process group of its own; stopping it asks the whole group to end and kills
 * what is left after the grace. Jobs are not isolated from the host nor from each other.
 *
 * @throws {RangeError} a time is negative or not a number
 * @see https://docs.gitlab.com/runner/executors/shell/
 */
export function createShellExecutor(options: ShellExecutorOptions): ShellExecutor {
  const { shell = "bash", killGraceMs = 5_000, outputGraceMs = 1_000 } = options;
  checkTimes({ killGraceMs, outputGraceMs });
  const environments = new Set<ReadonlySet<ProcessGroup>>();
  let found: Promise<string> | undefined;

  return {
    name: "shell",
    prepare: async (request) => {
      request.signal.throwIfAborted();
      request.log(`Using Shell (${shell}) executor...`);
      found ??= findShell(shell, options.environment["PATH"]);
      try {
        return createEnvironment(await found, request, environments, { ...options, shell, killGraceMs, outputGraceMs });
      } catch (error) {
        // It may be installed until the next job comes.
        found = undefined;
        throw error;
      }
    },
    killAll: () => {
      for (const groups of environments) killGroups(groups);
    },
  };
}

type Settings = ShellExecutorOptions & Required<Pick<ShellExecutorOptions, "killGraceMs" | "outputGraceMs">>;

function createEnvironment(
  shell: string,
  request: ShellPrepareRequest,
  environments: Set<ReadonlySet<ProcessGroup>>,
  options: Settings,
): ShellEnvironment {
  const { environment, login = true, hostName = hostname(), killGraceMs, outputGraceMs } = options;
  const { sleep = realSleep, spawn = spawnProcess, kill = process.kill.bind(process) } = options;
  const groups = new Set<ProcessGroup>();
  environments.add(groups);
  const settings = {
    shell,
    args: login ? ["-l"] : [],
    environment,
    directory: request.directories.temporary,
    killGraceMs,
    outputGraceMs,
    sleep,
    spawn,
    kill,
    groups,
  };
  return {
    workspace: { directories: request.directories, publish: nothingToDo, collect: nothingToDo },
    variables: { CI_SHARED_ENVIRONMENT: "true" },
    description: hostName,
    run: (run) => runScript(run, settings),
    cleanup: async () => {
      // Only a script that was not waited for can still be there.
      killGroups(groups);
      environments.delete(groups);
    },
  };
}

function killGroups(groups: ReadonlySet<ProcessGroup>): void {
  for (const group of groups) group.signal("SIGKILL");
}

async function nothingToDo(): Promise<void> {
  // Scripts and stages see the same files.
}

function checkTimes(times: Readonly<Record<string, number>>): void {
  for (const [name, value] of Object.entries(times)) {
    if (!(value >= 0)) throw new RangeError(`${name} must be 0 or more milliseconds, not ${value}`);
  }
}
