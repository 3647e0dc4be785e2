import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Environment } from "./environment.ts";
import { runProgram } from "./run-program.ts";

/** Paths, with `/` between names, to contents. */
export type FileContents = Readonly<Record<string, string>>;

/** A repository of a git server. */
export interface GitRepository {
  /** URL to clone from, without credentials. */
  readonly url: string;
  /** Folder of the bare repository. */
  readonly folder: string;
  /** Commits these files on top of a branch; a new branch begins at `main`. Returns the commit's SHA. */
  commit(files: FileContents, options?: CommitOptions): Promise<string>;
  /** Runs git on the bare repository; returns what it printed. */
  git(...args: readonly string[]): Promise<string>;
}

/** Where and how to commit. */
export interface CommitOptions {
  /** @default "main" */
  readonly branch?: string;
  /** @default "Change files" */
  readonly message?: string;
}

/** Where repositories are made. */
export interface RepositoryPlace {
  /** Path of git. */
  readonly git: string;
  readonly environment: Environment;
  /** Folder that holds the bare repositories. */
  readonly root: string;
  /** Base URL under which `root` is served. */
  readonly endpoint: string;
}

/** Creates a bare repository with one commit of these files on the branch `main`. */
export async function createRepository(
  place: RepositoryPlace,
  name: string,
  files: FileContents,
): Promise<GitRepository> {
  const { environment, endpoint } = place;
  const folder = join(place.root, `${name}.git`);
  const git = (...args: readonly string[]) => runProgram(place.git, args, { environment, folder });
  await mkdir(folder, { recursive: true });
  await git("init", "--quiet", "--bare", "--initial-branch=main");
  // Without this setting only a named user may push.
  await git("config", "http.receivepack", "true");
  // A runner fetches the commit of its job, whether or not a branch still points to it.
  await git("config", "uploadpack.allowAnySHA1InWant", "true");
  const commit: GitRepository["commit"] = (files, options) => commitFiles(place, folder, files, options);
  await commit(files, { message: "Begin" });
  return { url: `${endpoint}/${name}.git`, folder, git, commit };
}

async function commitFiles(
  { git, environment, root }: RepositoryPlace,
  repository: string,
  files: FileContents,
  { branch = "main", message = "Change files" }: CommitOptions = {},
): Promise<string> {
  const work = await mkdtemp(join(root, "work-"));
  const run = (...args: readonly string[]) => runProgram(git, args, { environment, folder: work });
  try {
    await run("clone", "--quiet", repository, ".");
    const branches = (await run("branch", "--remotes", "--format=%(refname)")).split("\n");
    const start = [branch, "main"].find((name) => branches.includes(`refs/remotes/origin/${name}`));
    await run("checkout", "--quiet", "-B", branch, ...(start === undefined ? [] : [`origin/${start}`]));
    for (const [path, content] of Object.entries(files)) {
      await mkdir(join(work, dirname(path)), { recursive: true });
      await writeFile(join(work, path), content);
    }
    await run("add", "--all");
    await run("commit", "--quiet", "--allow-empty", "--message", message);
    await run("push", "--quiet", "origin", `HEAD:refs/heads/${branch}`);
    return (await run("rev-parse", "HEAD")).trim();
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}
