import { expandReferences } from "@fleetfoot/cache-key";
import type { JobCache } from "@fleetfoot/coordinator-client";

import { JobConfigurationError } from "../errors.ts";

/** Whether the restore stage has anything to do. */
export function hasCacheWork(entries: readonly JobCache[]): boolean {
  return entries.some(hasFiles);
}

/** Whether the save stage has anything to do after scripts that ended so. */
export function hasCacheToSave(entries: readonly JobCache[], succeeded: boolean): boolean {
  return entries.some((entry) => hasFiles(entry) && fitsOutcome(entry, succeeded));
}

/** An entry without any files is no cache. */
export function hasFiles({ paths = [], untracked = false }: JobCache): boolean {
  return paths.length > 0 || untracked;
}

/** Whether an entry is just some files and folders at the top of the project, each with all that is in it. */
export function isWhole({ paths = [], untracked = false }: JobCache): boolean {
  return !untracked && paths.length > 0 && paths.every((path) => LITERAL_PATH.test(path));
}

/** A name that means just itself, to git's patterns as to the cache. */
const LITERAL_PATH = /^(?!\.{1,2}\/?$|\.git\/?$)[\w.@+-]+\/?$/;

/** Whether an entry's `when` asks for a save after scripts that ended so. */
export function fitsOutcome({ when = "" }: JobCache, succeeded: boolean): boolean {
  if (when === "always") return true;
  return when === "on_failure" ? !succeeded : succeeded && (when === "" || when === "on_success");
}

/** What an entry's policy asks for. */
export interface CachePolicy {
  readonly restores: boolean;
  readonly saves: boolean;
  /** Saves only while the store, or without one this host, has no archive of that key. */
  readonly onlyIfAbsent: boolean;
}

/**
 * Reads an entry's policy. Beside `pull`, `push` and `pull-push` there are `push-if-absent` and `pull-push-if-absent`, which
 * coordinators pass on though GitLab Runner does not know them.
 *
 * @throws {JobConfigurationError} no such policy; coordinators accept what they do not know
 */
export function policyOf(entry: JobCache, lookup: (name: string) => string | undefined): CachePolicy {
  const policy = expandReferences(entry.policy ?? "", lookup);
  const known = POLICIES.get(policy);
  if (known !== undefined) return known;
  const given = policy === entry.policy ? JSON.stringify(policy) : `${JSON.stringify(policy)} (from ${entry.policy})`;
  throw new JobConfigurationError(
    `unknown cache policy ${given}: use ${[...POLICIES.keys()].filter(Boolean).join(", ")}`,
  );
}

const POLICIES: ReadonlyMap<string, CachePolicy> = new Map([
  ["", { restores: true, saves: true, onlyIfAbsent: false }],
  ["pull", { restores: true, saves: false, onlyIfAbsent: false }],
  ["push", { restores: false, saves: true, onlyIfAbsent: false }],
  ["pull-push", { restores: true, saves: true, onlyIfAbsent: false }],
  ["push-if-absent", { restores: false, saves: true, onlyIfAbsent: true }],
  ["pull-push-if-absent", { restores: true, saves: true, onlyIfAbsent: true }],
]);

/** What is wrong with the first entry that has files and a policy that does not exist. */
export function cacheProblem(
  entries: readonly JobCache[],
  lookup: (name: string) => string | undefined,
): JobConfigurationError | undefined {
  for (const entry of entries.filter(hasFiles)) {
    try {
      policyOf(entry, lookup);
    } catch (error) {
      if (error instanceof JobConfigurationError) return error;
      throw error;
    }
  }
  return undefined;
}
