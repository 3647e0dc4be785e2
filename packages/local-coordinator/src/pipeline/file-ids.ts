import type { CacheKeyFacts } from "./cache-payload.ts";
import type { StartPipelineOptions } from "./pipeline-run.ts";

/**
 * Looks up the git ids that keys made from files depend on, each once per pipeline. Paths that do not exist are left out;
 * for `files`, items with `*` stand for all paths of the tree that they match.
 *
 * @see cache 1.2
 */
export function createFileIds(
  options: Pick<StartPipelineOptions, "blobIdOf" | "lastCommitOf" | "listFiles">,
): CacheKeyFacts["idsOf"] {
  const { blobIdOf, lastCommitOf, listFiles } = options;
  const blobs = once(blobIdOf);
  const commits = once(lastCommitOf);
  const tree = once(() => listFiles?.() ?? []);
  return async (kind, paths) => {
    const lookup = kind === "files" ? blobs : commits;
    const found: readonly string[][] = await Promise.all(
      paths.map(async (path) => {
        if (kind === "files_commits" || !path.includes("*")) return [path];
        const pattern = globPattern(path);
        return ((await tree("")) ?? []).filter((file) => pattern.test(file));
      }),
    );
    const ids = await Promise.all(found.flat().map(lookup));
    return ids.filter((id) => id !== undefined);
  };
}

type Lookup<Value> = (path: string) => Promise<Value | undefined> | Value | undefined;

function once<Value>(lookup: Lookup<Value> | undefined): (path: string) => Promise<Value | undefined> {
  const known = new Map<string, Promise<Value | undefined>>();
  return (path) => {
    const value = known.get(path) ?? Promise.resolve(lookup?.(path));
    known.set(path, value);
    return value;
  };
}

/** `*` and `?` stay within a folder, `**` does not. */
function globPattern(glob: string): RegExp {
  const source = glob.replaceAll(/\*\*\/|\*\*|\*|\?|[^*?]+/g, (piece) => {
    if (piece === "**/") return "(?:.*/)?";
    if (piece === "**") return ".*";
    if (piece === "*") return "[^/]*";
    if (piece === "?") return "[^/]";
    return piece.replaceAll(/[\\^$.|+()[\]{}]/g, String.raw`\$&`);
  });
  return new RegExp(`^${source}$`);
}
