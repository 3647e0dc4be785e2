import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

import type { JobCache, JobPayload } from "@fleetfoot/coordinator-client";
import { createShellExecutor } from "@fleetfoot/executor-shell";
import { expect } from "vitest";

import type { Executor } from "../executor.ts";
import { createRepository } from "./git-repository.ts";
import type { GitRepository } from "./git-repository.ts";
import { helloJob, openHarness, plain, script } from "./job-harness.ts";
import type { Harness, RunOptions } from "./job-harness.ts";

/** A working copy that jobs have one after the other, and a folder that is none of their business. */
export interface KeptCopy {
  readonly harness: Harness;
  /** Where the sources come from. */
  readonly origin: GitRepository;
  readonly project: string;
  readonly outside: string;
  /**
   * Runs a job that succeeds.
   *
   * @returns its log, without sequences for terminals
   */
  run(lines: string, options?: KeptCopyOptions): Promise<string>;
  /** Has further jobs take what the repository has now. */
  update(files: Readonly<Record<string, string>>): Promise<void>;
  dispose(): Promise<void>;
}

interface KeptCopyOptions {
  readonly cache?: readonly JobCache[];
  readonly variables?: Readonly<Record<string, string>>;
  readonly runner?: RunOptions["runner"];
  /** Whether the sources are fetched by a script, as in a helper image. @default false */
  readonly beside?: boolean;
}

export async function openKeptCopy(files: Readonly<Record<string, string>>): Promise<KeptCopy> {
  const harness = await openHarness();
  const origin = await createRepository(join(harness.root, "origin"));
  const outside = join(harness.root, "outside");
  await mkdir(outside);
  // Submodules are fetched from folders, too.
  await writeFile(join(harness.root, ".gitconfig"), '[protocol "file"]\n\tallow = always\n');
  let sha = await origin.commit(files);
  const payload = (variables: Readonly<Record<string, string>>): JobPayload => {
    const base = helloJob();
    return {
      ...base,
      allow_git_fetch: true,
      git_info: { ...base.git_info, repo_url: origin.url, sha, refspecs: ["+refs/heads/*:refs/remotes/origin/*"] },
      variables: [
        ...base.variables.filter(({ key }) => key !== "GIT_STRATEGY"),
        ...Object.entries(variables).map(([key, value]) => ({ key, value })),
      ],
    };
  };
  return {
    harness,
    origin,
    project: join(harness.root, "builds", "AbCdEfGhI", "0", "project-1"),
    outside,
    run: async (lines, { cache = [], variables = {}, runner = {}, beside = false } = {}) => {
      const job = { ...payload(variables), cache, steps: script(lines) };
      const options = beside ? { executor: fetchingBeside(harness.root) } : {};
      const { result, log } = await harness.run(job, { runner, options });
      expect(result.outcome, plain(log)).toBe("success");
      return plain(log);
    },
    update: async (changed) => {
      sha = await origin.commit(changed);
    },
    dispose: () => harness.dispose(),
  };
}

function fetchingBeside(root: string): Executor {
  const environment = { PATH: process.env["PATH"], HOME: root, GIT_CONFIG_NOSYSTEM: "1" };
  const shell = createShellExecutor({ environment, outputGraceMs: 200 });
  return {
    name: "shell",
    prepare: async (request) => {
      const prepared = await shell.prepare(request);
      return { ...prepared, workspace: { ...prepared.workspace, helper: prepared } };
    },
  };
}
