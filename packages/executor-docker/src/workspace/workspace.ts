import { lstat, mkdir, readdir } from "node:fs/promises";
import { join, posix } from "node:path";

import type { DockerDirectories, DockerEnvironment, DockerWorkspace } from "../types.ts";
import { dropOutwardLink, lstatIfThere } from "./safe-path.ts";
import type { Transport } from "./transport.ts";

export interface WorkspaceOptions {
  readonly transport: Transport;
  /** As scripts see them. */
  readonly scripts: DockerDirectories;
  /** On this host. */
  readonly host: DockerDirectories;
  /** File behind `GITLAB_ENV`, as scripts see it. */
  readonly environmentFile: string | undefined;
  /** Whether the repository stays on this host, too: for the next job, or to tell what is untracked. */
  readonly keepsRepository: boolean;
  /** Runs scripts of the runner beside the scripts' files; undefined: it works on this host. */
  readonly helper: DockerEnvironment["run"] | undefined;
}

/**
 * The two halves of a job's files: those of the runner's own stages on this host, and those of the scripts. Nothing that
 * scripts can write is ever used as a repository here: `.git` only goes in one direction.
 */
export function createWorkspace(options: WorkspaceOptions): DockerWorkspace {
  const { transport, scripts, host, environmentFile, keepsRepository, helper } = options;
  let sent: string | undefined;
  return {
    directories: host,
    isolated: true,
    ...(helper === undefined ? {} : { helper: { run: helper } }),
    publish: async ({ signal }) => {
      // One that stays on this host as well is sent again only if it has changed here: scripts may have changed theirs.
      const repository = keepsRepository ? await stateOf(join(host.project, REPOSITORY)) : undefined;
      const without = repository !== undefined && repository === sent ? [REPOSITORY] : [];
      const trees = [
        { source: host.project, target: scripts.project, without },
        { source: host.temporary, target: scripts.temporary },
      ];
      for (const { source } of trees) await mkdir(source, { recursive: true });
      await transport.send(trees, keepsRepository ? [REPOSITORY] : [], signal);
      sent = repository;
    },
    collect: async ({ paths, signal }) => {
      if (environmentFile !== undefined) await collectFile(environmentFile, signal);
      for (const path of paths ?? [""]) await collectPath(posix.normalize(path === "" ? "." : path), signal);
    },
  };

  async function collectPath(relative: string, signal: AbortSignal): Promise<void> {
    if (isRepository(relative)) return;
    await transport.receive({
      from: posix.join(scripts.project, relative),
      root: host.project,
      relative,
      isWanted: (name) => !isRepository(relative === "." ? name : posix.join(relative, name)),
      signal,
    });
    await dropLinks(relative);
  }

  /** Every part of a path that a stage is going to follow. */
  async function dropLinks(relative: string): Promise<void> {
    const parts = relative.split("/");
    for (let length = 1; length <= parts.length; length += 1) {
      await dropOutwardLink(host.project, parts.slice(0, length).join("/"));
    }
  }

  async function collectFile(path: string, signal: AbortSignal): Promise<void> {
    const relative = posix.basename(path);
    await transport.receive({ from: path, root: host.temporary, relative, isWanted: () => false, signal });
    // It is read as a file; a link would be followed.
    const facts = await lstatIfThere(join(host.temporary, relative));
    if (facts?.isSymbolicLink() === true) await dropOutwardLink(host.temporary, relative);
  }
}

const REPOSITORY = ".git";

/** Whatever git does leaves its mark at the top of its directory. @returns undefined when there is none */
async function stateOf(repository: string): Promise<string | undefined> {
  if ((await lstatIfThere(repository)) === undefined) return undefined;
  const names = await readdir(repository);
  const states = names.toSorted().map(async (name) => {
    const { ino, size, mtimeMs, ctimeMs } = await lstat(join(repository, name));
    return [name, ino, size, mtimeMs, ctimeMs];
  });
  return JSON.stringify(await Promise.all(states));
}

function isRepository(path: string): boolean {
  return path === REPOSITORY || path.startsWith(`${REPOSITORY}/`);
}
