import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { projectSlug } from "@fleetfoot/cache-key";
import type { Invocation } from "../command.ts";
import type { CliContext } from "../context.ts";
import { LOCAL_PROJECT_ID } from "../exec/facts.ts";
import { DEFAULT_STATE_DIRECTORY } from "../exec/state-directory.ts";

/** Where a command about caches works. */
export interface CachePlace {
  /** Absolute path of the project whose files are cached. */
  readonly projectDirectory: string;
  /** Absolute path of the caches of all projects on this host. */
  readonly cacheDirectory: string;
  /** Absolute path of this project's caches. */
  readonly projectCacheDirectory: string;
  readonly projectId: number;
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
  };
}
