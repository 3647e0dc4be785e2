import { basename } from "node:path";
import { GitError, type Git } from "./git.ts";

/** The project as git knows it. A folder outside any repository has neither commit nor branch. */
export interface Project {
  /** Absolute path of the folder that holds the configuration. */
  readonly directory: string;
  /** Absolute path of the objects of the repository that the folder belongs to. */
  readonly objectsDirectory: string | undefined;
  /** Whether the folder is the top of its repository. */
  readonly isRepositoryTop: boolean;
  readonly head: Commit | undefined;
  /** Undefined when a commit is checked out that no branch points to. */
  readonly branch: string | undefined;
  /** The tag of the commit that is checked out without a branch. */
  readonly tag: string | undefined;
  readonly defaultBranch: string;
  /** For example `group/project`. */
  readonly path: string;
}

interface Commit {
  readonly sha: string;
  readonly tree: string;
  readonly parent: string;
  readonly author: string;
  readonly authorEmail: string;
  readonly timestamp: string;
  readonly message: string;
}

const FALLBACK_BRANCH = "main";

/** Asks git for everything that is needed of a project, in as few calls as possible. */
export async function readProject(directory: string, git: Git): Promise<Project> {
  const place = await findRepository(git);
  if (place === undefined) {
    return {
      directory,
      objectsDirectory: undefined,
      isRepositoryTop: false,
      head: undefined,
      branch: FALLBACK_BRANCH,
      tag: undefined,
      defaultBranch: FALLBACK_BRANCH,
      path: `local/${basename(directory)}`,
    };
  }
  const [head, branch, remotes] = await Promise.all([readHead(git), readBranch(git), readRemoteFacts(git)]);
  return {
    directory,
    ...place,
    head,
    branch,
    tag: branch === undefined ? await readTag(git) : undefined,
    defaultBranch: remotes.defaultBranch ?? FALLBACK_BRANCH,
    path: remotes.path ?? `local/${basename(directory)}`,
  };
}

async function findRepository(git: Git): Promise<Pick<Project, "objectsDirectory" | "isRepositoryTop"> | undefined> {
  const answer = await orUndefined(
    git(["rev-parse", "--path-format=absolute", "--git-path", "objects", "--show-prefix"]),
  );
  if (answer === undefined) return undefined;
  const [objectsDirectory, prefix] = answer.split("\n");
  return { objectsDirectory: objectsDirectory ?? "", isRepositoryTop: prefix === "" };
}

async function readHead(git: Git): Promise<Commit | undefined> {
  const answer = await orUndefined(git(["show", "--no-patch", "--format=%H%n%T%n%P%n%an%n%ae%n%aI%n%B", "HEAD"]));
  if (answer === undefined) return undefined;
  const [sha = "", tree = "", parents = "", author = "", authorEmail = "", timestamp = "", ...message] =
    answer.split("\n");
  return {
    sha,
    tree,
    parent: parents.split(" ")[0] ?? "",
    author,
    authorEmail,
    timestamp,
    message: message.join("\n").trim(),
  };
}

async function readBranch(git: Git): Promise<string | undefined> {
  return (await orUndefined(git(["symbolic-ref", "--quiet", "--short", "HEAD"])))?.trim();
}

async function readTag(git: Git): Promise<string | undefined> {
  return (await orUndefined(git(["describe", "--exact-match", "--tags", "HEAD"])))?.trim();
}

async function readRemoteFacts(git: Git): Promise<{ readonly defaultBranch?: string; readonly path?: string }> {
  const [settings, head] = await Promise.all([
    orUndefined(git(["config", "--get-regexp", String.raw`^(remote\.origin\.url|init\.defaultbranch)$`])),
    orUndefined(git(["symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD"])),
  ]);
  const setting = (key: string): string | undefined =>
    settings
      ?.split("\n")
      .find((line) => line.startsWith(`${key} `))
      ?.slice(key.length + 1);
  const path = pathOfRemote(setting("remote.origin.url") ?? "");
  const defaultBranch = head?.trim().replace(/^origin\//, "") ?? setting("init.defaultbranch");
  return { ...(path === undefined ? {} : { path }), ...(defaultBranch === undefined ? {} : { defaultBranch }) };
}

/** `group/project` of a remote's address, in its URL form and in the short form of ssh. */
function pathOfRemote(remote: string): string | undefined {
  const path = /^(?:[a-z+]+:\/\/[^/]+\/|[^/:]+@[^/:]+:)(.+?)(?:\.git)?\/?$/.exec(remote)?.[1];
  return path !== undefined && path.includes("/") ? path : undefined;
}

/** git's "no" to a question is an answer; that git cannot be started is not. */
async function orUndefined(answer: Promise<string>): Promise<string | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof GitError) return undefined;
    throw error;
  }
}
