import { mkdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { ENGLISH, GitError, type Git } from "./git.ts";
import type { Project, Setting } from "./project.ts";
import { prepareRepository } from "./sources-repository.ts";

/** The commit that the jobs of a local run fetch, and where they fetch it from. */
export interface Snapshot {
  /** `file://` address of a repository of our own that holds the commit. */
  readonly repositoryUrl: string;
  readonly sha: string;
  /** Whether the commit holds changes that were not committed. */
  readonly hasUncommittedChanges: boolean;
  /** What could not be taken along. */
  readonly warnings: readonly string[];
  /** The blob of a path in the commit; undefined when there is no such file. */
  blobIdOf(path: string): Promise<string | undefined>;
}

/**
 * Puts the working tree into a commit of a repository of our own.
 *
 * The repository borrows the objects of the project's own one and has an index of its own, so that neither the working tree nor
 * the project's repository is touched, and a second snapshot looks only at what changed.
 *
 * @param options.stateDirectory - absolute; the repository is `sources.git` in it, and the folder itself is left out
 * @param options.committedOnly - takes the commit that is checked out as it is
 */
export async function takeSnapshot(options: {
  readonly project: Project;
  readonly stateDirectory: string;
  readonly committedOnly: boolean;
  readonly git: Git;
}): Promise<Snapshot> {
  const { project, stateDirectory, committedOnly, git } = options;
  const repository = join(stateDirectory, "sources.git");
  const ref =
    project.tag === undefined ? `refs/heads/${project.branch ?? "HEAD-snapshot"}` : `refs/tags/${project.tag}`;
  await prepareRepository(repository, ref, project, stateDirectory);
  const own = createOwnGit(git, repository, project);

  const head = project.isRepositoryTop ? project.head : undefined;
  const warnings = new Set<string>();
  const sha =
    committedOnly && head !== undefined
      ? head.sha
      : await withSoundIndex(repository, () => commitWorkingTree(own, project, head, warnings));
  await writeRef(repository, ref, sha);
  return {
    repositoryUrl: pathToFileURL(repository).href,
    sha,
    hasUncommittedChanges: head !== undefined && sha !== head.sha,
    warnings: [...warnings],
    blobIdOf: (path) => blobIdOf(own, sha, path),
  };
}

function createOwnGit(git: Git, repository: string, project: Project): Git {
  const settings = settingsEnvironment(project.fileSettings);
  return (args, { environment, ...more } = {}) =>
    git([`--git-dir=${repository}`, `--work-tree=${project.top ?? project.directory}`, ...args], {
      ...more,
      environment: { ...settings, ...environment },
    });
}

/** @see https://git-scm.com/docs/git-config#Documentation/git-config.txt-GITCONFIGCOUNT */
function settingsEnvironment(settings: readonly Setting[]): Record<string, string> {
  const pairs = settings.flatMap(({ key, value }, index) => [
    [`GIT_CONFIG_KEY_${index}`, key],
    [`GIT_CONFIG_VALUE_${index}`, value],
  ]);
  return { ...Object.fromEntries(pairs), GIT_CONFIG_COUNT: String(settings.length) };
}

/** A power cut or a kill can damage the index; it holds nothing that the working tree does not. */
async function withSoundIndex<T>(repository: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (!(error instanceof GitError)) throw error;
    // git has many words for what is wrong with an index. What fails for another reason fails again.
    await rm(join(repository, "index"), { force: true });
    return action();
  }
}

/** Puts everything into the index that git does not leave out. */
async function addFiles(own: Git, warnings: Set<string>): Promise<void> {
  const leftOut: string[] = [];
  for (;;) {
    try {
      await own(["add", "--all", "--", ".", ...leftOut.map((path) => `:(exclude,top,literal)${path}`)], {
        environment: ENGLISH,
      });
      for (const path of leftOut) warnings.add(`${path} is a repository without commits: the jobs do not get it.`);
      return;
    } catch (error) {
      const path = error instanceof GitError ? repositoryWithoutCommits(error.output) : undefined;
      if (path === undefined || leftOut.includes(path)) throw error;
      leftOut.push(path);
    }
  }
}

function repositoryWithoutCommits(complaint: string): string | undefined {
  return /^error: '(.+)\/' does not have a commit checked out$/m.exec(complaint)?.[1];
}

async function commitWorkingTree(
  own: Git,
  project: Project,
  head: Project["head"],
  warnings: Set<string>,
): Promise<string> {
  // What is committed takes part though a pattern would leave it out; what a new pattern leaves out does so no more.
  if (project.head !== undefined) await own(["read-tree", "--reset", project.head.sha]);
  await addFiles(own, warnings);
  const tree = (await own(["write-tree", ...(project.prefix === "" ? [] : [`--prefix=${project.prefix}`])])).trim();
  if (tree === head?.tree) return head.sha;
  const author = project.head?.author ?? "Fleetfoot";
  const email = project.head?.authorEmail ?? "fleetfoot@localhost";
  // The same tree on the same commit is the same commit: nothing in it depends on when the snapshot was taken.
  const date = project.head?.timestamp ?? "2000-01-01T00:00:00Z";
  const parents = head === undefined ? [] : ["-p", head.sha];
  const message = project.head?.message ?? "Files of a folder without commits";
  const commit = await own(["commit-tree", tree, ...parents], {
    input: `${message}\n`,
    environment: {
      GIT_AUTHOR_NAME: author,
      GIT_AUTHOR_EMAIL: email,
      GIT_AUTHOR_DATE: date,
      GIT_COMMITTER_NAME: author,
      GIT_COMMITTER_EMAIL: email,
      GIT_COMMITTER_DATE: date,
    },
  });
  return commit.trim();
}

/** As git would, without a process: nobody else writes here, and the refs of earlier runs are gone. */
async function writeRef(repository: string, ref: string, sha: string): Promise<void> {
  const path = join(repository, ref);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, `${sha}\n`);
}

async function blobIdOf(own: Git, sha: string, path: string): Promise<string | undefined> {
  const line = await own(["ls-tree", "--full-tree", "-z", sha, "--", path]);
  return /^\d+ blob ([0-9a-f]+)\t/.exec(line)?.[1];
}
