import { mkdir, readdir, rm } from "node:fs/promises";
import { join, posix } from "node:path";

import type { JobNames } from "../container/names.ts";
import type { DockerDirectories } from "../types.ts";

/** Where the runner's own half of a job's files lies on this host, and how it goes. */
export interface HostPlace {
  readonly directories: DockerDirectories;
  readonly remove: () => Promise<void>;
}

export interface HostPlaceOptions {
  readonly hostDirectory: string;
  readonly names: JobNames;
  readonly projectId: number;
  /** As scripts see them. */
  readonly directories: DockerDirectories;
  readonly isProtected: boolean;
  /** Whether the repository stays for the next job of the same project and number. */
  readonly keepsRepository: boolean;
}

/** Directories on this host: `builds/<name>` for each job or slot, `caches/<project>`. */
const BUILDS = "builds";
const CACHES = "caches";

export async function makeHostPlace(options: HostPlaceOptions): Promise<HostPlace> {
  const { hostDirectory, names, directories, isProtected, keepsRepository } = options;
  const kept = isProtected ? `${names.kept}-protected` : names.kept;
  const root = join(hostDirectory, BUILDS, keepsRepository ? kept : names.job);
  await mkdir(root, { recursive: true, mode: 0o700 });
  const below = (path: string): string => join(root, posix.relative(directories.builds, path));
  const own: DockerDirectories = {
    builds: root,
    project: below(directories.project),
    temporary: below(directories.temporary),
    cache: join(hostDirectory, CACHES, String(options.projectId)),
  };
  return {
    directories: own,
    remove: () => (keepsRepository ? keepOnlyRepository(own) : rm(root, { recursive: true, force: true })),
  };
}

/** Everything else may be of the scripts' making, and the next job's git must not meet it. */
async function keepOnlyRepository({ project, temporary }: DockerDirectories): Promise<void> {
  await rm(temporary, { recursive: true, force: true });
  const names = await readdir(project).catch(() => []);
  const others = names.filter((name) => name !== ".git");
  await Promise.all(others.map((name) => rm(join(project, name), { recursive: true, force: true })));
}
