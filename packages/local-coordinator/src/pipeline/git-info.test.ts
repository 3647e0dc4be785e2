import { describe, expect, it } from "vitest";

import { gitInfoOf, repositoryUrlWithToken } from "./git-info.ts";

const sha = "0123456789abcdef0123456789abcdef01234567";

describe("what a runner fetches", () => {
  const branch = { sha, ref: "feat/x" };
  it.each([
    {
      what: "no GIT_DEPTH",
      depth: undefined,
      ref: branch,
      expected: [20, ["+refs/heads/feat/x:refs/remotes/origin/feat/x"]],
    },
    { what: "a depth", depth: "3", ref: branch, expected: [3, ["+refs/heads/feat/x:refs/remotes/origin/feat/x"]] },
    {
      what: "depth 0",
      depth: "0",
      ref: branch,
      expected: [0, ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"]],
    },
    {
      what: "a depth that is no number",
      depth: "deep",
      ref: branch,
      expected: [0, ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"]],
    },
    {
      what: "a tag",
      depth: "1",
      ref: { sha, ref: "v1.0", refType: "tag" as const },
      expected: [1, ["+refs/tags/v1.0:refs/tags/v1.0"]],
    },
    {
      what: "a commit that no branch holds",
      depth: "1",
      ref: { ...branch, refspecs: ["+refs/pipelines/7:refs/pipelines/7"] },
      expected: [1, ["+refs/pipelines/7:refs/pipelines/7", "+refs/heads/feat/x:refs/remotes/origin/feat/x"]],
    },
  ])("for $what is $expected", ({ depth, ref, expected }) => {
    const info = gitInfoOf(ref, "/repo", depth, 20);
    expect([info.depth, info.refspecs]).toEqual(expected);
  });

  it.each([
    ["http://127.0.0.1:80/g/p.git", "http://gitlab-ci-token:tok@127.0.0.1/g/p.git"],
    ["https://old:secret@h/g/p.git", "https://gitlab-ci-token:tok@h/g/p.git"],
    ["file:///srv/p.git", "file:///srv/p.git"],
    ["/srv/p.git", "/srv/p.git"],
  ])("opens %s as %s", (url, expected) => {
    expect(repositoryUrlWithToken(url, "tok")).toBe(expected);
  });
});
