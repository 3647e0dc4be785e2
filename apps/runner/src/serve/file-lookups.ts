import type { FileLookups } from "@fleetfoot/local-coordinator";
import type { Git } from "../project/git.ts";

/** Looks into the commit that a repository's `HEAD` names, also when another process put it there. */
export function fileLookups(git: Git, repository: string): Required<FileLookups> {
  const own: Git = (args, options) => git([`--git-dir=${repository}`, ...args], options);
  const list = (...words: readonly string[]): Promise<string> => own(["ls-tree", "--full-tree", "-z", ...words]);
  return {
    blobIdOf: async (path) => /^\d+ blob ([0-9a-f]+)\t/.exec(await list("HEAD", "--", path))?.[1],
    lastCommitOf: async (path) =>
      (await own(["log", "--max-count=1", "--format=%H", "HEAD", "--", path])).trim() || undefined,
    listFiles: async () =>
      (await list("-r", "HEAD")).split("\0").flatMap((line) => {
        const path = line.slice(line.indexOf("\t") + 1);
        return path === "" ? [] : [path];
      }),
  };
}
