import { join } from "node:path";

import type { GitInfo } from "@fleetfoot/coordinator-client";

import { repositoryFolder } from "../cache/repository-folder.ts";
import { readPlainFile, replacePlainFile } from "../plain-files.ts";
import { removeTree } from "../remove-tree.ts";

/*
 * In the repository's own folder, so that it goes when the repository goes. Jobs can write there: whatever they put in the way costs a fetch, and
 * nothing else.
 */
const RECORD = "fleetfoot-fetched";
/** A name, which is that of a branch or tag, and the line end. */
const MAX_REF_BYTES = 4096;

/**
 * Whether a fetch would bring nothing: the last one asked for exactly this, and what it brought is still there.
 *
 * Jobs of one pipeline follow each other in one working copy, and a fetch that brings nothing still costs half a dozen processes.
 */
export async function isFetched(project: string, gitInfo: GitInfo): Promise<boolean> {
  try {
    const folder = await repositoryFolder(project);
    const [record, ref] = await Promise.all([readPlainFile(join(folder, RECORD)), fetchedRef(folder, gitInfo)]);
    return record === recordOf(gitInfo) && ref === gitInfo.sha;
  } catch {
    // Whatever the reason: what cannot be read does not save a fetch.
    return false;
  }
}

/** Remembers a fetch that succeeded, if it can. */
export async function rememberFetch(project: string, gitInfo: GitInfo): Promise<void> {
  await forgetFetch(project);
  try {
    await replacePlainFile(join(await repositoryFolder(project), RECORD), recordOf(gitInfo), 0o644);
  } catch {
    // The next job fetches, then.
  }
}

/** Makes the next job fetch in any case. */
export async function forgetFetch(project: string): Promise<void> {
  let folder: string;
  try {
    folder = await repositoryFolder(project);
  } catch {
    // Then there is no record either, or none that would be believed.
    return;
  }
  await removeTree(join(folder, RECORD));
}

function recordOf({ repo_url, sha, refspecs = [], depth = 0 }: GitInfo): string {
  // Without user and password: the token of a job is in its URL, and each job has another one.
  const address = repo_url.replace(/^([a-z]+:\/\/)[^/@]*@/, "$1");
  return `${JSON.stringify({ address, sha, refspecs, depth })}\n`;
}

/** Where the one fetched ref points now; undefined when several were asked for, or when it is not in a file of its own. */
async function fetchedRef(folder: string, { refspecs = [] }: GitInfo): Promise<string | undefined> {
  const target = refspecs.length === 1 ? /^\+?refs\/[^:*]+:(refs\/[^:*]+)$/.exec(refspecs[0] ?? "")?.[1] : undefined;
  if (target === undefined || target.split("/").includes("..")) return undefined;
  return (await readPlainFile(join(folder, target), MAX_REF_BYTES))?.trim();
}
