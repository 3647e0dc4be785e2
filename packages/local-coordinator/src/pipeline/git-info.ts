import type { GitInfo } from "@fleetfoot/coordinator-client";

import type { CommitFacts } from "./facts.ts";

/**
 * Decides what a runner fetches. Runners do not read `GIT_DEPTH`: it is turned into a depth and refspecs here.
 *
 * @param gitDepth - value of `GIT_DEPTH`; undefined when it is not set
 * @param defaultDepth - used then; 0 fetches all branches and tags
 * @see job-execution 1.8
 */
export function gitInfoOf(
  commit: CommitFacts,
  repositoryUrl: string,
  gitDepth: string | undefined,
  defaultDepth: number,
): GitInfo {
  const { sha, ref, refType = "branch", refspecs = [] } = commit;
  const depth = gitDepth === undefined ? defaultDepth : Math.max(0, Number.parseInt(gitDepth, 10) || 0);
  return {
    repo_url: repositoryUrl,
    repo_object_format: commit.objectFormat ?? "sha1",
    ref,
    sha,
    before_sha: commit.beforeSha ?? "0".repeat(40),
    ref_type: refType,
    refspecs: [...refspecs, ...(depth === 0 ? everything : [refspecOf(ref, refType)])],
    depth,
    protected: commit.protected ?? false,
  };
}

/** Puts the job token into an `http(s)` address, as the one thing that opens it; others stay as they are. */
export function repositoryUrlWithToken(repositoryUrl: string, token: string): string {
  if (!/^https?:\/\//.test(repositoryUrl)) return repositoryUrl;
  const url = new URL(repositoryUrl);
  url.username = "gitlab-ci-token";
  url.password = token;
  return url.href;
}

function refspecOf(ref: string, refType: "branch" | "tag"): string {
  return refType === "tag" ? `+refs/tags/${ref}:refs/tags/${ref}` : `+refs/heads/${ref}:refs/remotes/origin/${ref}`;
}

const everything = ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"];
