import { mkdir, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { pathToFileURL } from "node:url";
import type { Git } from "./git.ts";
import type { Project } from "./project.ts";

/** The commit that the jobs of a local run fetch, and where they fetch it from. */
export interface Snapshot {
  /** `file://` address of a repository of our own that holds the commit. */
  readonly repositoryUrl: string;
  readonly sha: string;
  readonly beforeSha: string;
  /** Whether the commit holds changes that were not committed. */
  readonly hasUncommittedChanges: boolean;
  /** The blob of a path in the commit; undefined when there is no such file. */
  blobIdOf(path: string): Promise<string | undefined>;
}

const NO_COMMIT = "0".repeat(40);

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
  await prepareRepository(repository, project, stateDirectory);
  const own: Git = (args, more) => git([`--git-dir=${repository}`, `--work-tree=${project.directory}`, ...args], more);

  const head = project.isRepositoryTop ? project.head : undefined;
  const sha = committedOnly && head !== undefined ? head.sha : await commitWorkingTree(own, project, head);
  const ref =
    project.tag === undefined ? `refs/heads/${project.branch ?? "HEAD-snapshot"}` : `refs/tags/${project.tag}`;
  await own(["update-ref", ref, sha]);
  return {
    repositoryUrl: pathToFileURL(repository).href,
    sha,
    beforeSha: head?.parent || NO_COMMIT,
    hasUncommittedChanges: head !== undefined && sha !== head.sha,
    blobIdOf: (path) => blobIdOf(own, sha, path),
  };
}

/** The three files that make a folder a bare repository; `git init` would cost a process on every run. */
async function prepareRepository(repository: string, project: Project, stateDirectory: string): Promise<void> {
  await Promise.all(
    ["objects/info", "refs/heads", "info"].map((folder) => mkdir(join(repository, folder), { recursive: true })),
  );
  const stateInProject = relative(project.directory, stateDirectory);
  await Promise.all([
    writeFile(join(repository, "HEAD"), "ref: refs/heads/main\n"),
    writeFile(
      join(repository, "config"),
      "[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tautocrlf = false\n[gc]\n\tauto = 0\n",
    ),
    writeFile(join(repository, "info/exclude"), stateInProject.startsWith("..") ? "" : `/${stateInProject}/\n`),
    project.objectsDirectory === undefined
      ? Promise.resolve()
      : writeFile(join(repository, "objects/info/alternates"), `${project.objectsDirectory}\n`),
  ]);
}

async function commitWorkingTree(own: Git, project: Project, head: Project["head"]): Promise<string> {
  await own(["add", "--all", "--", "."]);
  const tree = (await own(["write-tree"])).trim();
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

async function blobIdOf(own: Git, sha: string, path: string): Promise<string | undefined> {
  const line = await own(["ls-tree", "-z", sha, "--", path]);
  return /^\d+ blob ([0-9a-f]+)\t/.exec(line)?.[1];
}
