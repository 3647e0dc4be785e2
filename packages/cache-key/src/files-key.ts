import { createHash } from "node:crypto";

/** What `key:files` or `key:files_commits` was found to be. */
export interface FilesKeyOptions {
  /** The items as they stand in the configuration; leading slashes do not count. */
  readonly files: readonly string[];
  /** One git object id for each path that exists: of its blob for `files`, of its last commit for `files_commits`. */
  readonly ids: readonly string[];
  /** The entry's `prefix`; an empty one leaves the digest alone. @default made of `index` and the names of the files */
  readonly prefix?: string | undefined;
  /** Position of the entry in the job's list of caches, from 0. */
  readonly index: number;
}

/**
 * Builds the key of an entry whose key is made from files.
 *
 * @returns for example `0_Gemfile-<sha1>`; a file in a directory brings its slash along
 * @see https://docs.gitlab.com/ci/yaml/#cachekeyfiles
 */
export function filesKey(options: FilesKeyOptions): string {
  const { files, ids, index, prefix = `${index}_${keyFiles(files).map(stem).join("_")}` } = options;
  return [prefix, digestOfIds(ids)].filter((part) => !isBlank(part)).join("-");
}

/**
 * Digests the ids of the files that a key depends on. Order and repetition do not matter.
 *
 * @returns lower-case hex SHA-1, or the word `default` when there are no ids
 */
export function digestOfIds(ids: readonly string[]): string {
  if (ids.length === 0) return "default";
  return createHash("sha1")
    .update([...new Set(ids)].sort().join("-"))
    .digest("hex");
}

/** The paths that a list of `files` items stands for: without leading slashes, blanks and repetitions. */
export function keyFiles(files: readonly string[]): readonly string[] {
  return [...new Set(files.map((item) => item.replace(/^\/+/, "")).filter((item) => !isBlank(item)))];
}

function stem(path: string): string {
  return path.split(".", 1)[0] ?? "";
}

function isBlank(text: string): boolean {
  return text.trim() === "";
}
