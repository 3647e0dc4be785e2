import { describe, expect, it } from "vitest";

import { isUpToDate, sideConfig, templateConfig } from "./git-config.ts";
import { repositoryAccess } from "./repository-url.ts";
import type { RepositoryAccessOptions } from "./repository-url.ts";

const OPTIONS: RepositoryAccessOptions = {
  repositoryUrl: "https://gitlab-ci-token:T@git.example.com/g/p.git",
  cloneUrl: undefined,
  projectPath: "g/p",
  jobToken: "T",
  withoutTokens: false,
  forceHttps: false,
};
const BARE = "https://git.example.com/";
const WITH_TOKEN = "https://gitlab-ci-token:T@git.example.com/";

describe("the address of a repository", () => {
  it.each([
    ["has its token only in a rule", {}, `${BARE}g/p.git`, [{ from: BARE, to: WITH_TOKEN }]],
    [
      "keeps its port",
      { repositoryUrl: "http://u:T@h:8080/g/p.git" },
      "http://h:8080/g/p.git",
      [{ from: "http://h:8080/", to: "http://u:T@h:8080/" }],
    ],
    ["needs no rule without a token", { repositoryUrl: "https://h/g/p.git" }, "https://h/g/p.git", []],
    ["has no rule where a helper gives the token", { withoutTokens: true }, `${BARE}g/p.git`, []],
    ["by ssh gets a user and no token", { repositoryUrl: "ssh://h:2222/g/p.git" }, "ssh://git@h:2222/g/p.git", []],
    ["by ssh loses a password", { repositoryUrl: "ssh://me:T@h/g/p.git" }, "ssh://me@h/g/p.git", []],
    ["on this host stays", { repositoryUrl: "file:///srv/p.git" }, "file:///srv/p.git", []],
    ["as a path stays", { repositoryUrl: "/srv/p.git" }, "/srv/p.git", []],
    ["in short form stays", { repositoryUrl: "git@h:g/p.git" }, "git@h:g/p.git", []],
    [
      "is that of the operator",
      { cloneUrl: "https://near.example.com:8443/git" },
      "https://near.example.com:8443/git/g/p.git",
      [{ from: "https://near.example.com:8443/", to: "https://gitlab-ci-token:T@near.example.com:8443/" }],
    ],
    [
      "is that of the operator, by ssh",
      { cloneUrl: "ssh://near.example.com" },
      "ssh://git@near.example.com/g/p.git",
      [],
    ],
    [
      "stands for submodules by ssh, too",
      { forceHttps: true, repositoryUrl: "https://u:T@h:8443/g/p.git" },
      "https://h:8443/g/p.git",
      [
        { from: "https://h:8443/", to: "https://u:T@h:8443/" },
        { from: "git@h:", to: "https://u:T@h:8443/" },
        { from: "ssh://git@h:8443/", to: "https://u:T@h:8443/" },
        { from: "ssh://git@h/", to: "https://u:T@h:8443/" },
      ],
    ],
  ])("%s", (_, changes, remote, rewrites) => {
    const access = repositoryAccess({ ...OPTIONS, ...changes });
    expect(access.remote).toBe(remote);
    expect(access.rewrites).toEqual(rewrites);
  });

  it("does not give the token to a host whose name only begins the same", () => {
    for (const { from } of repositoryAccess(OPTIONS).rewrites)
      expect("https://git.example.com.evil.org/").not.toContain(from);
  });
});

describe("git's settings", () => {
  const access = repositoryAccess(OPTIONS);

  it("are up to date as they were written, and not for another address", () => {
    const text = templateConfig(access, "/b/p.tmp/side");
    expect(isUpToDate(text, access, "/b/p.tmp/side")).toBe(true);
    expect(isUpToDate(text, access, "/elsewhere/side")).toBe(false);
    expect(isUpToDate(text, { ...access, remote: "https://other/" }, "/b/p.tmp/side")).toBe(false);
    expect(text).not.toContain("T@");
  });

  it("refer to the certificates of the instance", () => {
    const text = sideConfig({
      access,
      correlationId: "7",
      credentialHelper: false,
      tls: { authority: "/b/p.tmp/CA", certificate: undefined, key: undefined },
      instance: "https://git.example.com",
    });
    expect(text).toContain('[http "https://git.example.com"]\n\tsslCAInfo = "/b/p.tmp/CA"\n');
    expect(text).toContain(`[url "${WITH_TOKEN}"]\n\tinsteadOf = "${BARE}"\n`);
    expect(text).toContain("X-Gitaly-Correlation-ID: 7");
  });
});
