import { expandReferences } from "@fleetfoot/cache-key";
import type { JobCache } from "@fleetfoot/coordinator-client";

import { JobConfigurationError } from "../errors.ts";
import type { CacheStageOptions } from "./types.ts";

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

/** Whether an entry's `when` asks for a save after scripts that ended so. */
export function fitsOutcome({ when = "" }: JobCache, succeeded: boolean): boolean {
  if (when === "always") return true;
  return when === "on_failure" ? !succeeded : succeeded && (when === "" || when === "on_success");
}

/**
 * Decides whether an entry's policy lets the cache be restored or saved.
 *
 * @throws {JobConfigurationError} no such policy; coordinators accept what they do not know
 */
export function policyAllows(entry: JobCache, direction: "pull" | "push", { lookup }: CacheStageOptions): boolean {
  const policy = expandReferences(entry.policy ?? "", lookup);
  if (policy === "" || policy === "pull-push" || policy === direction) return true;
  if (policy === "pull" || policy === "push") return false;
  const given = policy === entry.policy ? JSON.stringify(policy) : `${JSON.stringify(policy)} (from ${entry.policy})`;
  throw new JobConfigurationError(`unknown cache policy ${given}: use pull, push or pull-push`);
}
