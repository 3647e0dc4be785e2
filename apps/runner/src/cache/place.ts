import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { projectSlug } from "@fleetfoot/cache-key";
import type { Invocation } from "../command.ts";
import type { CliContext } from "../context.ts";
import { UsageError } from "../errors.ts";
import { LOCAL_PROJECT_ID } from "../project/facts.ts";
import { DEFAULT_STATE_DIRECTORY } from "../project/state-directory.ts";

/** Where a command about caches works. */
export interface CachePlace {
  /** Absolute path of the project whose files are cached. */
  readonly projectDirectory: string;
  /** Absolute path of the caches of all projects on this host. */
  readonly cacheDirectory: string;
  /** Absolute path of this project's caches. */
  readonly projectCacheDirectory: string;
  readonly projectId: number;
  /** Absolute path of what local runs of the project keep. */
  readonly stateDirectory: string;
}

/** Caches of local runs of the project in the current folder, unless the command line says otherwise. */
export function cachePlace(invocation: Invocation, context: CliContext): CachePlace {
  const projectDirectory = resolve(context.workingDirectory, invocation.text("directory") ?? ".");
  const stateDirectory = resolve(projectDirectory, invocation.text("state-dir") ?? DEFAULT_STATE_DIRECTORY);
  const given = invocation.text("cache-dir");
  if (given !== undefined) {
    const cacheDirectory = resolve(context.workingDirectory, given);
    return {
      projectDirectory,
      cacheDirectory,
      projectCacheDirectory: join(cacheDirectory, invocation.text("project") ?? ""),
      projectId: LOCAL_PROJECT_ID,
      stateDirectory,
    };
  }
  const cacheDirectory = join(stateDirectory, "caches");
  // Where the jobs of a local run find theirs.
  const slug = projectSlug(pathToFileURL(join(stateDirectory, "sources.git")).href, LOCAL_PROJECT_ID);
  return {
    projectDirectory,
    cacheDirectory,
    projectCacheDirectory: join(cacheDirectory, slug),
    projectId: LOCAL_PROJECT_ID,
    stateDirectory,
  };
}

/**
 * The project whose caches in a store are meant.
 *
 * @throws {UsageError} `--project-id` is no number
 */
export function readProjectId(invocation: Invocation): number | undefined {
  const text = invocation.text("project-id");
  if (text === undefined) return undefined;
  if (/^[1-9]\d*$/.test(text)) return Number(text);
  throw new UsageError(`--project-id ${text} is no id of a project.`, {
    cure: "The instance shows it on the project's page; jobs have it as CI_PROJECT_ID.",
  });
}
