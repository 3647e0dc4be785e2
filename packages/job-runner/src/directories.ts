import { posix, resolve, sep } from "node:path";

import { projectSlug } from "@fleetfoot/cache-key";
import { shortToken } from "@fleetfoot/coordinator-client";

import { JobConfigurationError } from "./errors.ts";
import type { JobDirectories } from "./executor.ts";

export interface DirectoriesOptions {
  readonly buildsDirectory: string;
  readonly cacheDirectory: string;
  /** Whether several jobs use the builds directory. */
  readonly shared: boolean;
  /** Authentication token of the runner; only its short form is used. */
  readonly runnerToken: string;
  readonly concurrentProjectId: number;
  readonly repositoryUrl: string;
  readonly projectId: number;
  /** Whether the job has no sources at all, and so a project directory of its own. */
  readonly emptyCheckout: boolean;
}

/** Says where a job lies. @see job-execution 1.8 */
export function jobDirectories(options: DirectoriesOptions): JobDirectories {
  const builds = resolve(options.buildsDirectory);
  const slug = projectSlug(options.repositoryUrl, options.projectId, { emptyCheckout: options.emptyCheckout });
  const own = options.shared ? [shortToken(options.runnerToken), String(options.concurrentProjectId)] : [];
  const project = posix.join(builds, ...own, slug);
  return { builds, project, temporary: `${project}.tmp`, cache: posix.join(resolve(options.cacheDirectory), slug) };
}

/**
 * Moves the project to where `GIT_CLONE_PATH` says.
 *
 * @param path - expanded value of the variable
 * @throws {JobConfigurationError} the runner does not allow it, or the path leaves the builds directory
 */
export function moveProject(directories: JobDirectories, path: string, allowed: boolean): JobDirectories {
  if (!allowed) {
    throw new JobConfigurationError(
      "setting GIT_CLONE_PATH is not allowed, enable `custom_build_dir` feature of this runner or remove the variable",
    );
  }
  const project = resolve(path);
  if (!project.startsWith(directories.builds.endsWith(sep) ? directories.builds : directories.builds + sep)) {
    throw new JobConfigurationError(
      `the GIT_CLONE_PATH=${JSON.stringify(path)} has to be within the builds root ${JSON.stringify(directories.builds)}`,
    );
  }
  return { ...directories, project, temporary: `${project}.tmp` };
}
