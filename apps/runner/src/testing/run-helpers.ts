import { readFile } from "node:fs/promises";
import type { LocalCoordinator, NewJob } from "@fleetfoot/local-coordinator";
import { expect, vi } from "vitest";
import { startChild, type ChildRunner } from "./process.ts";
import { testEnvironment } from "./project.ts";
import type { RunnerWorld } from "./running-runner.ts";

/** A job without sources. */
export function shellJob(...script: readonly string[]): NewJob {
  return { variables: [{ key: "GIT_STRATEGY", value: "none" }], steps: [{ name: "script", script }] };
}

/** Starts `fleetfoot run` in a process of its own. */
export function startRun({ configPath, folder }: RunnerWorld): ChildRunner {
  return startChild(["run", "--config", configPath, "--working-directory", folder], {
    directory: folder,
    environment: testEnvironment(folder),
  });
}

/** Resolves when the log of a job matches. */
export async function traceMatch(coordinator: LocalCoordinator, id: number, pattern: RegExp): Promise<RegExpExecArray> {
  const found = Promise.withResolvers<RegExpExecArray>();
  const look = async (): Promise<void> => {
    const match = pattern.exec(new TextDecoder().decode(await coordinator.readTrace(id)));
    if (match !== null) found.resolve(match);
  };
  const end = coordinator.subscribe(() => void look());
  void look();
  try {
    return await found.promise;
  } finally {
    end();
  }
}

/** Resolves when a process has ended; a zombie has. */
export async function expectGone(processId: number): Promise<void> {
  expect(processId).toBeGreaterThan(0);
  await vi.waitFor(async () => {
    const stat = await readFile(`/proc/${processId}/stat`, "utf8").catch(() => ") Z ");
    expect(stat).toContain(") Z ");
  });
}
