import { realpath } from "node:fs/promises";
import { basename, resolve } from "node:path";
import { UsageError } from "../errors.ts";
import { ENGLISH, GitError, type Git } from "./git.ts";

/** The project as git knows it. A folder outside any repository has neither commit nor branch. */
export interface Project {
  /** Absolute path of the folder that holds the configuration. */
  readonly directory: string;
  /** Absolute path of the objects of the repository that the folder belongs to. */
  readonly objectsDirectory: string | undefined;
  /** Absolute path of the top of the repository that the folder belongs to; undefined outside of any. */
  readonly top: string | undefined;
  /** Whether the folder is the top of its repository. */
  readonly isRepositoryTop: boolean;
  /** Path from the top to the folder, with a slash at its end; empty at the top. */
  readonly prefix: string;
  /** Absolute path of the patterns that the repository leaves out for this user alone; the file need not be there. */
  readonly excludeFile: string | undefined;
  /** Absolute path of the patterns of what is checked out; there is such a file only in a sparse checkout. */
  readonly sparseFile: string | undefined;
  /** Absolute path of the list of commits where the history was cut off; there is such a file only in a shallow clone. */
  readonly shallowFile: string | undefined;
  readonly objectFormat: "sha1" | "sha256";
  /** Settings of git that decide what a file of the working tree is as a blob, and which files there are. */
  readonly fileSettings: readonly Setting[];
  readonly head: Commit | undefined;
  /** Undefined when a commit is checked out that no branch points to. */
  readonly branch: string | undefined;
  /** The tag of the commit that is checked out without a branch. */
  readonly tag: string | undefined;
  readonly defaultBranch: string;
  /** For example `group/project`. */
  readonly path: string;
}

/** One setting of git, for example `core.filemode` and `false`. */
export interface Setting {
  readonly key: string;
  readonly value: string;
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
      top: undefined,
      isRepositoryTop: false,
      prefix: "",
      excludeFile: undefined,
      sparseFile: undefined,
      shallowFile: undefined,
      objectFormat: "sha1",
      fileSettings: [],
      head: undefined,
      branch: FALLBACK_BRANCH,
      tag: undefined,
      defaultBranch: FALLBACK_BRANCH,
      path: `local/${basename(directory)}`,
    };
  }
  const [head, branch, remotes] = await Promise.all([readHead(git), readBranch(git), readConfigFacts(git)]);
  return {
    directory,
    ...place,
    top: place.toTop === "" ? directory : resolve(await realpath(directory), place.toTop),
    isRepositoryTop: place.toTop === "",
    fileSettings: remotes.fileSettings,
    head,
    branch,
    tag: branch === undefined ? await readTag(git) : undefined,
    defaultBranch: remotes.defaultBranch ?? FALLBACK_BRANCH,
    path: remotes.path ?? `local/${basename(directory)}`,
  };
}

interface Place extends Pick<
  Project,
  "objectsDirectory" | "excludeFile" | "sparseFile" | "shallowFile" | "objectFormat" | "prefix"
> {
  /** For example `../../`; empty at the top. */
  readonly toTop: string;
}

async function findRepository(git: Git): Promise<Place | undefined> {
  const files = ["objects", "info/exclude", "info/sparse-checkout", "shallow"].flatMap((name) => ["--git-path", name]);
  let answer: string;
  try {
    answer = await git(
      ["rev-parse", "--path-format=absolute", ...files, "--show-object-format", "--show-cdup", "--show-prefix"],
      {
        environment: ENGLISH,
      },
    );
  } catch (error) {
    if (!(error instanceof GitError)) throw error;
    if (error.output.includes("not a git repository")) return undefined;
    throw new UsageError(`git cannot read the repository: ${error.output.trim()}`, {
      cure: "Mend what git names, and try again.",
      cause: error,
    });
  }
  const [objectsDirectory, excludeFile, sparseFile, shallowFile, objectFormat, toTop = "", prefix = ""] =
    answer.split("\n");
  return {
    objectsDirectory,
    excludeFile,
    sparseFile,
    shallowFile,
    objectFormat: objectFormat === "sha256" ? "sha256" : "sha1",
    toTop,
    prefix,
  };
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

interface ConfigFacts {
  readonly defaultBranch?: string;
  readonly path?: string;
  readonly fileSettings: readonly Setting[];
}

const REMOTE_SETTINGS = String.raw`remote\.origin\.url|init\.defaultbranch`;
/** Only what concerns files: settings that say where the repository lies would lead our own one back to it. */
const FILE_SETTINGS = String.raw`core\.(excludesfile|attributesfile|filemode|ignorecase|precomposeunicode|sparsecheckout|sparsecheckoutcone|symlinks)|filter\..*`;

async function readConfigFacts(git: Git): Promise<ConfigFacts> {
  const [answer, head] = await Promise.all([
    orUndefined(git(["config", "--null", "--get-regexp", `^(${REMOTE_SETTINGS}|${FILE_SETTINGS})$`])),
    orUndefined(git(["symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD"])),
  ]);
  const settings = (answer ?? "")
    .split("\0")
    .filter((entry) => entry !== "")
    .map(readSetting);
  const setting = (name: string): string | undefined => settings.find(({ key }) => key === name)?.value;
  const path = pathOfRemote(setting("remote.origin.url") ?? "");
  const defaultBranch = head?.trim().replace(/^origin\//, "") ?? setting("init.defaultbranch");
  return {
    ...(path === undefined ? {} : { path }),
    ...(defaultBranch === undefined ? {} : { defaultBranch }),
    fileSettings: settings.filter(({ key }) => /^(?:core|filter)\./.test(key)),
  };
}

/** `key`, a line feed and the value; a key alone means true. */
function readSetting(entry: string): Setting {
  const end = entry.indexOf("\n");
  return end === -1 ? { key: entry, value: "true" } : { key: entry.slice(0, end), value: entry.slice(end + 1) };
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
