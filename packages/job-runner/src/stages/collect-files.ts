import { posix } from "node:path";

import { CacheArchiveError, expandShellWord } from "@fleetfoot/cache-archive";

import type { PreparedJob } from "../job-context.ts";
import { stageEnvironment } from "./stage-environment.ts";
import { withHostPaths } from "./host-paths.ts";

/** Files of a job that a stage is going to look at. */
interface WantedFiles {
  readonly paths?: readonly string[];
  readonly untracked?: boolean;
}

/**
 * Brings the files that a stage is going to look at, and no others where that can be told.
 *
 * @param wanted - their paths may be patterns and have variables in them
 */
export async function collectFiles(job: PreparedJob, wanted: readonly WantedFiles[]): Promise<void> {
  const { workspace } = job.environment;
  const signal = job.signals.job;
  if (workspace.isolated !== true) return workspace.collect({ signal });
  // Names may depend on what scripts left in the file behind GITLAB_ENV.
  await workspace.collect({ paths: [], signal });
  if (wanted.some(({ untracked }) => untracked === true)) return workspace.collect({ signal });
  const environment = await stageEnvironment(job);
  const prefixes = withHostPaths(job, wanted).flatMap(({ paths = [] }) =>
    paths.flatMap((path) => literalPrefix(path, workspace.directories.project, environment) ?? []),
  );
  if (prefixes.includes("")) return workspace.collect({ signal });
  return workspace.collect({ paths: withoutCovered(prefixes), signal });
}

/**
 * The longest part of a pattern that is a plain path.
 *
 * @returns relative to the project; empty for the project itself; undefined when the pattern leads out of it
 */
export function literalPrefix(
  pattern: string,
  project: string,
  environment: Readonly<Record<string, string>>,
): string | undefined {
  const expanded = expand(pattern, environment);
  if (expanded === "") return undefined;
  const meta = expanded.search(/[*?[{\\]/);
  const literal = meta === -1 ? expanded : expanded.slice(0, expanded.lastIndexOf("/", meta) + 1);
  const relative = posix.relative(project, posix.resolve(project, literal));
  return relative === ".." || relative.startsWith("../") ? undefined : relative;
}

function expand(pattern: string, environment: Readonly<Record<string, string>>): string {
  try {
    return expandShellWord(pattern, environment);
  } catch (error) {
    if (CacheArchiveError.isInstance(error)) return pattern;
    throw error;
  }
}

function withoutCovered(paths: readonly string[]): string[] {
  const distinct = [...new Set(paths)];
  return distinct.filter((path) => !distinct.some((other) => path.startsWith(`${other}/`)));
}
