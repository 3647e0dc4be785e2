import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

import type { GitInfo } from "@fleetfoot/coordinator-client";

/** In the repository's own folder, so that it goes when the repository goes. */
const RECORD = "fleetfoot-fetched";

/**
 * Whether a fetch would bring nothing: the last one asked for exactly this, and what it brought is still there.
 *
 * Jobs of one pipeline follow each other in one working copy, and a fetch that brings nothing still costs half a dozen processes.
 */
export async function isFetched(project: string, gitInfo: GitInfo): Promise<boolean> {
  const [record, ref] = await Promise.all([readText(join(project, ".git", RECORD)), fetchedRef(project, gitInfo)]);
  return record === recordOf(gitInfo) && ref === gitInfo.sha;
}

/** Remembers a fetch that succeeded. */
export async function rememberFetch(project: string, gitInfo: GitInfo): Promise<void> {
  await writeFile(join(project, ".git", RECORD), recordOf(gitInfo));
}

/** Makes the next job fetch in any case. */
export async function forgetFetch(project: string): Promise<void> {
  await rm(join(project, ".git", RECORD), { force: true });
}

function recordOf({ repo_url, sha, refspecs = [], depth = 0 }: GitInfo): string {
  // Without user and password: the token of a job is in its URL, and each job has another one.
  const address = repo_url.replace(/^([a-z]+:\/\/)[^/@]*@/, "$1");
  return `${JSON.stringify({ address, sha, refspecs, depth })}\n`;
}

/** Where the one fetched ref points now; undefined when several were asked for, or when it is not in a file of its own. */
async function fetchedRef(project: string, { refspecs = [] }: GitInfo): Promise<string | undefined> {
  const target = refspecs.length === 1 ? /^\+?refs\/[^:*]+:(refs\/[^:*]+)$/.exec(refspecs[0] ?? "")?.[1] : undefined;
  if (target === undefined || target.split("/").includes("..")) return undefined;
  return (await readText(join(project, ".git", target)))?.trim();
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch {
    // Whatever the reason: what cannot be read does not save a fetch.
    return undefined;
  }
}
