import { expect, it } from "vitest";
import { gitEnvironment, withoutBorrowingFlags, withoutProgramFlags } from "./git-environment.ts";
import type { GitJob } from "./git-environment.ts";

function job(isolated: boolean, variables: Readonly<Record<string, string>>): GitJob {
  return {
    environment: { workspace: { isolated } },
    hostEnvironment: { PATH: "/usr/bin" },
    variables: { exported: new Map(Object.entries(variables)) },
  } as unknown as GitJob;
}

const variables = {
  PATH: "/evil",
  LD_PRELOAD: "/evil.so",
  GIT_SSH_COMMAND: "evil",
  GIT_CONFIG_COUNT: "1",
  GIT_EXEC_PATH: "/evil",
  GIT_TRACE: "/etc/evil",
  CI_JOB_TOKEN: "token",
  https_proxy: "http://proxy.example:3128",
};

it("gives git all variables where scripts run on this host", () => {
  expect(gitEnvironment(job(false, variables))).toMatchObject(variables);
});

it("gives git nothing that runs a program or writes a file where scripts run apart", () => {
  expect(gitEnvironment(job(true, variables))).toEqual({
    PATH: "/usr/bin",
    CI_JOB_TOKEN: "token",
    https_proxy: "http://proxy.example:3128",
    GIT_TERMINAL_PROMPT: "0",
    GCM_INTERACTIVE: "Never",
    GIT_LFS_SKIP_SMUDGE: "1",
    GIT_NO_REPLACE_OBJECTS: "1",
    GIT_INDEX_VERSION: "2",
  });
});

it("leaves out flags that name a program, however short they are written", () => {
  const flags = ["--prune", "--upload-pack=evil", "--upl=evil", "--update-head-ok", "-u", "--unshallow"];
  expect(withoutProgramFlags(flags)).toEqual(["--prune", "--update-head-ok", "-u", "--unshallow"]);
});

it("leaves out flags that name a repository of this host, with the name after them", () => {
  const flags = [
    "--remote",
    "--reference",
    "/srv/other.git",
    "--jobs",
    "4",
    "--reference=/srv/other.git",
    "--dissociate",
  ];
  expect(withoutBorrowingFlags(flags)).toEqual(["--remote", "--jobs", "4", "--dissociate"]);
});
