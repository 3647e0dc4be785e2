import { access, chmod, mkdir, readFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import type { JobPayload, JobVariable } from "@fleetfoot/coordinator-client";

import { createRepository, serveRepository } from "../test-support/git-repository.ts";
import { asNobody, NOBODY, own } from "../test-support/ordinary-user.ts";
import type { GitRepository } from "../test-support/git-repository.ts";
import { helloJob, openHarness, plain, script, withAfterScript } from "../test-support/job-harness.ts";
import type { Harness, Run, RunOptions } from "../test-support/job-harness.ts";

let harness: Harness;
let repository: GitRepository;
let sha: string;
beforeEach(async () => {
  harness = await openHarness();
  repository = await createRepository(join(harness.root, "origin"));
  sha = await repository.commit({ "a.txt": "one", ".gitignore": "ignored/\n" });
});
afterEach(() => harness.dispose());

const ALL = "+refs/heads/*:refs/remotes/origin/*";

function sourcesJob(
  changes: Partial<JobPayload> & { readonly git?: Partial<JobPayload["git_info"]> } = {},
  variables: readonly JobVariable[] = [],
): JobPayload {
  const { git, ...rest } = changes;
  const base = helloJob();
  return {
    ...base,
    allow_git_fetch: true,
    git_info: { ...base.git_info, repo_url: repository.url, sha, refspecs: [ALL], ...git },
    variables: [...base.variables.filter(({ key }) => key !== "GIT_STRATEGY"), ...variables],
    steps: script("ls -A"),
    ...rest,
  };
}

const gitCommands = ({ processes }: Run): string[] =>
  processes.flatMap(
    (line) =>
      /^git .*?\b(init|fetch|checkout|clean|reset|config|credential|submodule|lfs)\b(?: |$)/.exec(line)?.[1] ?? [],
  );

/** Of a repository whose address has no path on a host. */
const project = (): string => join(harness.root, "builds", "AbCdEfGhI", "0", "project-1");

/** Names in an order that does not depend on the file system. */
const sorted = (names: readonly string[]): string[] => names.toSorted((a, b) => (a < b ? -1 : 1));

describe("fetching", () => {
  it("makes a working copy at the commit, with three git processes", async () => {
    const run = await harness.run(sourcesJob());
    expect(run.result.outcome).toBe("success");
    expect(plain(run.log)).toContain(
      `Fetching changes...\nCreated fresh repository.\nChecking out ${sha.slice(0, 8)} as detached HEAD (ref is main)...\nSkipping Git submodules setup\n`,
    );
    expect(await readFile(join(project(), "a.txt"), "utf8")).toBe("one");
    expect(gitCommands(run)).toEqual(["init", "fetch", "checkout"]);
  });

  it("goes on with the working copy of the job before it, and cleans it", async () => {
    await harness.run(
      sourcesJob({ steps: script("echo changed > a.txt; echo x > left; mkdir ignored; touch ignored/x") }),
    );
    sha = await repository.commit({ "b.txt": "two" });
    const run = await harness.run(sourcesJob());
    expect(sorted(await readdir(project()))).toEqual([".git", ".gitignore", "a.txt", "b.txt"]);
    expect(await readFile(join(project(), "a.txt"), "utf8")).toBe("one");
    expect(run.log).not.toContain("Created fresh repository");
    expect(gitCommands(run)).toEqual(["fetch", "checkout", "clean"]);
  });

  describe("for an ordinary user, after a job that left folders which nobody may write to", () => {
    const leave = "mkdir -p modules/one/two ignored/three && touch modules/one/two/x ignored/three/x";
    // Without a fetch: a shell on its way to a repository of this host would give up the rights of another user.
    const again = { git: { refspecs: ["+refs/heads/main:refs/remotes/origin/main"], depth: 20 } };
    const close = "chmod 555 modules/one/two modules/one ignored/three";

    it("cleans them away", async () => {
      const first = await harness.run(sourcesJob({ ...again, steps: script(`${leave}; ${close}`) }));
      expect(first.result.outcome).toBe("success");
      await own(harness.root, NOBODY);
      const run = await asNobody(() => harness.run(sourcesJob(again)));
      expect(run.result.outcome, plain(run.log)).toBe("success");
      expect(sorted(await readdir(project()))).toEqual([".git", ".gitignore", "a.txt"]);
    });

    it("empties a directory of its own", async () => {
      const empty = [{ key: "GIT_STRATEGY", value: "empty" }];
      await harness.run(sourcesJob({ ...again, steps: script(`${leave}; ${close}`) }, empty));
      await own(harness.root, NOBODY);
      const run = await asNobody(() => harness.run(sourcesJob(again, empty)));
      expect(run.result.outcome, plain(run.log)).toBe("success");
      expect(await readdir(`${project()}-empty`)).toEqual([]);
    });

    it("leaves those of a cache as they are, which the next job may use", async () => {
      const cache = [{ key: "modules", paths: ["modules/"], policy: "pull-push" }];
      await harness.run(sourcesJob({ ...again, cache, steps: script(`${leave}; ${close}`) }));
      await own(harness.root, NOBODY);
      await asNobody(() => harness.run(sourcesJob({ ...again, cache })));
      const restored = await stat(join(project(), "modules/one"));
      await mkdir(join(project(), "more"));
      await writeFile(join(project(), "more/x"), "");
      await chmod(join(project(), "more"), 0o555);
      await own(join(project(), "more"), NOBODY);
      const run = await asNobody(() => harness.run(sourcesJob({ ...again, cache })));
      expect(run.result.outcome, plain(run.log)).toBe("success");
      expect(sorted(await readdir(project()))).toEqual([".git", ".gitignore", "a.txt", "modules"]);
      const kept = await stat(join(project(), "modules/one"));
      expect([kept.ino, kept.mode & 0o777]).toEqual([restored.ino, 0o555]);
    });
  });

  describe("a commit that the job before it fetched", () => {
    const ONE = "+refs/heads/main:refs/remotes/origin/main";
    const again = { git: { refspecs: [ONE], depth: 20 } };

    it("is not fetched again", async () => {
      await harness.run(sourcesJob({ ...again, steps: script("rm a.txt") }));
      const run = await harness.run(sourcesJob(again));
      expect(gitCommands(run)).toEqual(["checkout", "clean"]);
      expect(plain(run.log)).toContain("The commit is here already, nothing to fetch.\n");
      expect(await readFile(join(project(), "a.txt"), "utf8")).toBe("one");
    });

    it.each([
      { what: "another depth", change: { git: { refspecs: [ONE], depth: 0 } } },
      { what: "other refs", change: { git: { refspecs: [ALL], depth: 20 } } },
    ])("is fetched for $what", async ({ change }) => {
      await harness.run(sourcesJob(again));
      expect(gitCommands(await harness.run(sourcesJob(change)))).toContain("fetch");
    });

    it("is fetched when a script moved the ref", async () => {
      await harness.run(sourcesJob({ ...again, steps: script("git update-ref -d refs/remotes/origin/main") }));
      expect(gitCommands(await harness.run(sourcesJob(again)))).toContain("fetch");
    });

    it("is fetched with flags that the job wants for it", async () => {
      await harness.run(sourcesJob(again));
      const run = await harness.run(sourcesJob(again, [{ key: "GIT_FETCH_EXTRA_FLAGS", value: "--verbose" }]));
      expect(gitCommands(run)).toContain("fetch");
    });

    it("is fetched in the second try when a script threw its objects away", async () => {
      await harness.run(sourcesJob({ ...again, steps: script("rm -rf .git/objects && mkdir .git/objects") }));
      const run = await harness.run(sourcesJob(again, [{ key: "GET_SOURCES_ATTEMPTS", value: "2" }]));
      expect(run.result.outcome).toBe("success");
      expect(gitCommands(run)).toContain("fetch");
      expect(await readFile(join(project(), "a.txt"), "utf8")).toBe("one");
    });
  });

  it("does not run the file system monitor that the job before it planted", async () => {
    const planted = join(harness.root, "planted");
    await harness.run(sourcesJob({ steps: script(`git config core.fsmonitor "touch ${planted};:"`) }));
    sha = await repository.commit({ "b.txt": "two" });
    expect((await harness.run(sourcesJob({ steps: script("true") }))).result.outcome).toBe("success");
    await expect(access(planted)).rejects.toThrow("ENOENT");
  });

  it("keeps to the depth, and gets the rest when a later job wants all", async () => {
    sha = await repository.commit({ "b.txt": "two" });
    const shallow = await harness.run(
      sourcesJob({ git: { depth: 1 }, steps: script("git log --format=commit:%h | wc -l") }),
    );
    expect(plain(shallow.log)).toContain("Fetching changes with git depth set to 1...\n");
    expect(shallow.log).toContain("\n1\n");
    const full = await harness.run(sourcesJob({ steps: script("git log --format=%h | wc -l") }));
    expect(full.log).toContain("\n2\n");
  });

  it("makes a repository of the object format that the payload names", async () => {
    repository = await createRepository(join(harness.root, "origin256"), ["--object-format", "sha256"]);
    sha = await repository.commit({ "a.txt": "one" });
    const run = await harness.run(sourcesJob({ git: { repo_object_format: "sha256" } }));
    expect(run.result.outcome).toBe("success");
    expect(sha).toHaveLength(64);
  });

  it("removes the locks that a killed git has left", async () => {
    await harness.run(sourcesJob());
    const locks = ["index.lock", "HEAD.lock", "config.lock", "shallow.lock", "refs/remotes/origin/main.lock"];
    for (const name of locks) await writeFile(join(project(), ".git", name), "");
    sha = await repository.commit({ "b.txt": "two" });
    expect((await harness.run(sourcesJob())).result.outcome).toBe("success");
  });

  it("notices that a repository has moved", async () => {
    await harness.run(sourcesJob());
    const moved = await createRepository(join(harness.root, "elsewhere"));
    sha = await moved.commit({ "c.txt": "three" });
    repository = moved;
    const run = await harness.run(sourcesJob({ steps: script("git remote get-url origin") }));
    expect(run.log).toContain(`\n${moved.url}\n`);
    expect(sorted(await readdir(project()))).toEqual([".git", "c.txt"]);
  });

  it("starts anew from a working copy that was broken half-way", async () => {
    await harness.run(sourcesJob());
    await rm(join(project(), ".git", "HEAD"));
    expect((await harness.run(sourcesJob())).result.outcome).toBe("success");
  });

  it("does not check out when GIT_CHECKOUT says so", async () => {
    const run = await harness.run(sourcesJob({}, [{ key: "GIT_CHECKOUT", value: "false" }]));
    expect(plain(run.log)).toContain("Skipping Git checkout\n");
    expect(await readdir(project())).toEqual([".git"]);
  });

  it("uses the flags that the job wants for fetch", async () => {
    const run = await harness.run(sourcesJob({}, [{ key: "GIT_FETCH_EXTRA_FLAGS", value: "--no-tags --verbose" }]));
    const fetched = run.processes.find((line) => line.includes(" fetch "));
    expect(fetched).toMatch(/ --no-tags --verbose$/);
    expect(fetched).toContain("http.userAgent=fleetfoot development linux/");
  });

  it("says that git is missing, and what to do", async () => {
    const run = await harness.run(sourcesJob(), { options: { environment: { PATH: "/nonexistent" } } });
    expect(run.result).toMatchObject({ failureReason: "runner_configuration_error" });
    expect(run.log).toContain("git was not found in the PATH of the runner: install git");
  });
});

describe("strategies", () => {
  it("JE 21: none leaves what the job before it left", async () => {
    await harness.run(sourcesJob({ steps: script("echo kept > left.txt") }));
    const run = await harness.run(
      sourcesJob({ steps: script("cat left.txt") }, [{ key: "GIT_STRATEGY", value: "none" }]),
    );
    expect(run.log).toContain("\nkept\n");
    expect(plain(run.log)).toContain("Skipping Git repository setup\nSkipping Git checkout\n");
    expect(gitCommands(run)).toEqual([]);
  });

  it("JE 22: clone leaves nothing of what was there", async () => {
    await harness.run(sourcesJob({ steps: script("mkdir ignored; touch ignored/x left") }));
    const run = await harness.run(
      sourcesJob({}, [
        { key: "GIT_STRATEGY", value: "clone" },
        { key: "GIT_CLEAN_FLAGS", value: "none" },
      ]),
    );
    expect(sorted(await readdir(project()))).toEqual([".git", ".gitignore", "a.txt"]);
    expect(run.log).toContain("Created fresh repository.");
  });

  it("JE 23: fetch cleans with the flags of the job", async () => {
    await harness.run(sourcesJob({ steps: script("mkdir cache other; touch cache/x other/x left") }));
    await harness.run(sourcesJob({}, [{ key: "GIT_CLEAN_FLAGS", value: "-ffdx -e cache/" }]));
    expect(sorted(await readdir(project()))).toEqual([".git", ".gitignore", "a.txt", "cache"]);
  });

  it("empty gives a directory of its own without anything in it", async () => {
    const job = sourcesJob({ steps: script("touch x; ls -A; pwd") }, [{ key: "GIT_STRATEGY", value: "empty" }]);
    await harness.run(job);
    const run = await harness.run(job);
    expect(run.log).toContain(`\nx\n${project()}-empty\n`);
    expect(plain(run.log)).toContain("Skipping Git repository setup and creating an empty build directory\n");
  });

  it("that do not exist are told, and the preferred one is used", async () => {
    const run = await harness.run(sourcesJob({}, [{ key: "GIT_STRATEGY", value: "pull" }]));
    expect(plain(run.log)).toContain(
      'WARNING: GIT_STRATEGY: expected fetch, clone, none or empty, got "pull"; using fetch\n',
    );
    expect(run.result.outcome).toBe("success");
  });
});

describe("sources that cannot be had", () => {
  const BAD = "1".repeat(40);
  const badGit = { sha: BAD, refspecs: [`+${BAD}:refs/pipelines/1`] };

  it("JE 11: skip the scripts, but failure artifacts are uploaded", async () => {
    await harness.run(sourcesJob({ steps: script("echo kept > kept.txt") }));
    const job = sourcesJob({
      git: badGit,
      steps: withAfterScript(["echo from script"], ["echo from after_script"]),
      artifacts: [{ paths: ["kept.txt"], when: "always" }],
    });
    const { result, stages, coordinator, log } = await harness.run(job);
    expect(stages).toEqual([
      "prepare_executor",
      "prepare_script",
      "get_sources",
      "upload_artifacts_on_failure",
      "cleanup_file_variables",
    ]);
    expect(coordinator.uploads).toHaveLength(1);
    expect(result).toMatchObject({ outcome: "failed", exitCode: 128 });
    expect(log).not.toContain("from script");
    expect(log).not.toContain("from after_script");
    expect(plain(log)).toMatch(/ERROR: Job failed: git fetch: exit status 128\n$/);
  });

  it("JE 12: are tried again; everything but the repository goes before the second try only", async () => {
    const { path } = await gitThatFails(2);
    const run = await harness.run(sourcesJob({}, [{ key: "GET_SOURCES_ATTEMPTS", value: "3" }]), { path });
    expect(run.result.outcome).toBe("success");
    expect(run.stages.filter((stage) => stage !== "prepare_executor" && stage !== "prepare_script")).toEqual([
      "get_sources",
      "clear_worktree",
      "get_sources",
      "get_sources",
      "step_script",
      "cleanup_file_variables",
    ]);
    expect(run.time.waits.filter((ms) => ms === 5_000 || ms === 10_000)).toEqual([5_000, 10_000]);
    expect(plain(run.log).match(/WARNING: Retrying\.\.\.\n/g)).toHaveLength(2);
    expect(await readFile(join(project(), "a.txt"), "utf8")).toBe("one");
  });

  it("JE 13: are tried ten times at most, and a larger number is told", async () => {
    const { path } = await gitThatFails(100);
    const run = await harness.run(sourcesJob({}, [{ key: "GET_SOURCES_ATTEMPTS", value: "50" }]), {
      path,
      instant: [5_000, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000],
    });
    expect(run.stages.filter((stage) => stage === "get_sources")).toHaveLength(10);
    expect(plain(run.log)).toContain("WARNING: GET_SOURCES_ATTEMPTS: 50 is outside of 1 to 10; using 10\n");
  });

  it("for too long end the job at once", async () => {
    const bin = await programs({ git: "#!/bin/sh\nsleep 100\n" });
    const started = harness.start(sourcesJob({ artifacts: [{ paths: ["a.txt"], when: "always" }] }), {
      path: `${bin}:${process.env["PATH"]}`,
      runner: { getSourcesTimeoutMs: 7_000 },
    });
    await started.time.elapse(7_000);
    const { result, stages, log } = await started.finished;
    expect(result).toMatchObject({ failureReason: "job_execution_timeout" });
    expect(stages.at(-1)).toBe("get_sources");
    expect(plain(log)).toContain(
      "WARNING: get_sources could not run to completion because the timeout was exceeded.\n",
    );
  });

  async function gitThatFails(times: number): Promise<{ path: string }> {
    const count = join(harness.root, "count");
    const bin = await programs({
      git: `#!/bin/sh\nfor a in "$@"; do if [ "$a" = fetch ]; then echo >> ${count}; if [ $(wc -l < ${count}) -le ${times} ]; then exit 128; fi; fi; done\nPATH="$REAL_PATH" exec git "$@"\n`.replaceAll(
        "$REAL_PATH",
        process.env["PATH"] ?? "",
      ),
    });
    return { path: `${bin}:${process.env["PATH"]}` };
  }
});

/** A directory with programs for the front of a PATH. */
async function programs(texts: Readonly<Record<string, string>>): Promise<string> {
  const bin = join(harness.root, "bin");
  await mkdir(bin, { recursive: true });
  for (const [name, text] of Object.entries(texts)) await writeFile(join(bin, name), text, { mode: 0o755 });
  return bin;
}

describe("the job's token", () => {
  const TOKEN = "glcbt-secret-token";

  async function runWithServer(
    variables: readonly JobVariable[],
    options: RunOptions = {},
  ): Promise<{ run: Run; config: string; side: string; credentials: readonly string[] }> {
    const server = await serveRepository(repository, TOKEN);
    try {
      const copy = join(harness.root, "side");
      const job = sourcesJob(
        {
          token: TOKEN,
          git: { repo_url: server.urlWithToken },
          steps: script(`cat $RUNNER_TEMP_PROJECT_DIR/.gitlab-runner.ext.conf > ${copy}`, "git fetch -q origin main"),
        },
        [{ key: "CI_JOB_TOKEN", value: TOKEN, masked: true }, ...variables],
      );
      const run = await harness.run(job, options);
      const config = await readFile(join(gitProject(), ".git", "config"), "utf8");
      expect(config).toContain(server.urlWithoutToken);
      return { run, config, side: await readFile(copy, "utf8"), credentials: server.credentials };
    } finally {
      await server.close();
    }
  }

  const gitProject = (): string => join(harness.root, "builds", "AbCdEfGhI", "0", "g", "p");

  it("JE 25: is in no file of the working copy, works while the job lasts, and is gone after it", async () => {
    const { run, config, side, credentials } = await runWithServer([]);
    expect(run.result.outcome).toBe("success");
    expect(config).not.toContain(TOKEN);
    expect(side).toContain(`gitlab-ci-token:${TOKEN}@`);
    expect(new Set(credentials)).toEqual(new Set([`gitlab-ci-token:${TOKEN}`]));
    await expect(access(`${gitProject()}.tmp`)).rejects.toThrow("ENOENT");
    expect(run.log).not.toContain(TOKEN);
    expect(run.processes.join("\n")).not.toContain(TOKEN);
  });

  it("comes from a helper where addresses must not have it", async () => {
    const { run, side, credentials } = await runWithServer([{ key: "FF_GIT_URLS_WITHOUT_TOKENS", value: "true" }]);
    expect(run.result.outcome).toBe("success");
    expect(side).not.toContain(TOKEN);
    expect(credentials).toContain(`gitlab-ci-token:${TOKEN}`);
  });

  it("is not remembered by the helpers of the host", async () => {
    const log = join(harness.root, "helper.log");
    const bin = await programs({ "git-credential-spy": `#!/bin/sh\necho "$1" >> ${log}; cat > /dev/null\n` });
    await writeFile(join(harness.root, ".gitconfig"), "[credential]\n\thelper = spy\n");
    const { run } = await runWithServer([], { path: `${bin}:${process.env["PATH"]}` });
    expect(gitCommands(run)).toEqual(["init", "fetch", "checkout", "credential"]);
    expect((await readFile(log, "utf8")).split("\n")).toContain("erase");
  });
});

describe("hooks", () => {
  it("run around the sources, those of the operator outside of those of the job", async () => {
    const job = sourcesJob({
      hooks: [
        { name: "pre_get_sources_script", script: ["echo 2 $([ -e a.txt ] && echo there)"] },
        { name: "post_get_sources_script", script: ["echo 3 $(cat a.txt)"] },
      ],
    });
    const runner = { preGetSourcesScript: "echo 1", postGetSourcesScript: "echo 4" };
    const { log, stages } = await harness.run(job, { runner });
    expect(plain(log).match(/^[1-4](?: .*)?$/gm)).toEqual(["1", "2 ", "3 one", "4"].map((line) => line.trimEnd()));
    expect(stages.filter((stage) => stage === "get_sources")).toHaveLength(1);
  });

  it("do not run without sources, and fail the stage when they fail", async () => {
    const runner = { preGetSourcesScript: "exit 6" };
    const none = sourcesJob({}, [{ key: "GIT_STRATEGY", value: "none" }]);
    expect((await harness.run(none, { runner })).result.outcome).toBe("success");
    expect((await harness.run(sourcesJob(), { runner })).result).toMatchObject({ outcome: "failed", exitCode: 6 });
  });
});

describe("submodules and large files", () => {
  const ALLOW_FILES = [
    { key: "GIT_CONFIG_COUNT", value: "1" },
    { key: "GIT_CONFIG_KEY_0", value: "protocol.file.allow" },
    { key: "GIT_CONFIG_VALUE_0", value: "always" },
  ];

  async function addSubmodules(): Promise<void> {
    const inner = await createRepository(join(harness.root, "inner"));
    await inner.commit({ "inner.txt": "inner" });
    const outer = await createRepository(join(harness.root, "outer"));
    await outer.commit({ "outer.txt": "outer" });
    await outer.git("submodule", "--quiet", "add", inner.url, "nested/inner");
    await outer.commit({});
    await repository.git("submodule", "--quiet", "add", outer.url, "lib/outer");
    sha = await repository.commit({});
  }

  it.each([
    { strategy: "normal", nested: [] as string[] },
    { strategy: "recursive", nested: [".git", "inner.txt"] },
  ])("brings submodules in, strategy $strategy", async ({ strategy, nested }) => {
    await addSubmodules();
    const variables = [{ key: "GIT_SUBMODULE_STRATEGY", value: strategy }, ...ALLOW_FILES];
    const first = await harness.run(
      sourcesJob({ steps: script("echo changed > lib/outer/outer.txt; touch lib/outer/left") }, variables),
    );
    expect(first.result.outcome).toBe("success");
    expect(sorted(await readdir(join(project(), "lib/outer/nested/inner")))).toEqual(nested);
    const second = await harness.run(sourcesJob({}, variables));
    expect(second.result.outcome).toBe("success");
    expect(sorted(await readdir(join(project(), "lib/outer")))).toEqual([".git", ".gitmodules", "nested", "outer.txt"]);
    expect(await readFile(join(project(), "lib/outer/outer.txt"), "utf8")).toBe("outer");
  });

  it("tells submodules where the job's settings are", async () => {
    await addSubmodules();
    await harness.run(sourcesJob({}, [{ key: "GIT_SUBMODULE_STRATEGY", value: "recursive" }, ...ALLOW_FILES]));
    for (const module of ["lib/outer", "lib/outer/modules/nested/inner"]) {
      const config = await readFile(join(project(), ".git/modules", module, "config"), "utf8");
      expect(config).toContain(`path = "${project()}.tmp/.gitlab-runner.ext.conf"`);
    }
  });

  it("leaves submodules alone by default", async () => {
    await addSubmodules();
    const run = await harness.run(sourcesJob());
    expect(await readdir(join(project(), "lib/outer"))).toEqual([]);
    expect(run.log).toContain("Skipping Git submodules setup");
  });

  it.each([
    [{ key: "GIT_SUBMODULE_PATHS", value: ":(exclude)lib/outer" }, "exclusions"],
    [{ key: "GIT_SUBMODULE_STRATEGY", value: "deep" }, '"deep"'],
  ])("refuses %j", async (variable, text) => {
    const { result } = await harness.run(
      sourcesJob({}, [{ key: "GIT_SUBMODULE_STRATEGY", value: "normal" }, variable]),
    );
    expect(result.failureReason).toBe("runner_configuration_error");
    expect(result.message).toContain(text);
  });

  it("pulls large files at once after the checkout, where git can", async () => {
    const log = join(harness.root, "lfs.log");
    const bin = await programs({ "git-lfs": `#!/bin/sh\necho "$@ smudge=$GIT_LFS_SKIP_SMUDGE" >> ${log}\n` });
    const path = `${bin}:${process.env["PATH"]}`;
    await harness.run(sourcesJob(), { path });
    expect(await readFile(log, "utf8")).toBe("pull smudge=1\n");
    await harness.run(sourcesJob({}, [{ key: "GIT_LFS_SKIP_SMUDGE", value: "1" }]), { path });
    expect(await readFile(log, "utf8")).toBe("pull smudge=1\n");
  });
});

describe("after the job", () => {
  it("the working copy is reset where that is wanted", async () => {
    const flag = [{ key: "FF_ENABLE_JOB_CLEANUP", value: "true" }];
    await harness.run(sourcesJob({ steps: script("touch left; echo changed > a.txt") }, flag));
    expect(sorted(await readdir(project()))).toEqual([".git", ".gitignore", "a.txt"]);
    expect(await readFile(join(project(), "a.txt"), "utf8")).toBe("one");
    await harness.run(sourcesJob({}, [...flag, { key: "GIT_STRATEGY", value: "clone" }]));
    await expect(access(project())).rejects.toThrow("ENOENT");
  });

  it("settings and hooks that it planted are gone where the operator wants that", async () => {
    const runner = { cleanGitConfig: true };
    const plant = script("git config core.editor evil; mkdir -p .git/hooks; echo evil > .git/hooks/post-merge");
    await harness.run(sourcesJob({ steps: plant }), { runner });
    expect(await readdir(join(project(), ".git"))).not.toContain("hooks");
    const { result, log } = await harness.run(sourcesJob({ steps: script("git config core.editor || echo clean") }), {
      runner,
    });
    expect(result.outcome).toBe("success");
    expect(log).toContain("\nclean\n");
  });
});
