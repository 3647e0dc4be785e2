import { execFile } from "node:child_process";
import { chmod, mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { runCli } from "../cli.ts";
import { StopReason } from "../context.ts";
import { testContext } from "../testing/context.ts";
import { testEnvironment, testProject } from "../testing/project.ts";

const runFile = promisify(execFile);
const HELLO = "hello: { script: [echo hello from $CI_JOB_NAME] }\n";

describe("fleetfoot exec with odd files", () => {
  it.each(["--file=pipe.yml", "--list"])(
    "refuses a named pipe as configuration instead of waiting for it (%s)",
    async (word) => {
      await using project = await testProject({ ".gitlab-ci.yml": "include: [{ local: pipe.yml }]\n" });
      await runFile("mkfifo", [join(project.directory, "pipe.yml")]);
      const run = await project.exec([word]);
      expect(run.code).toBe(1);
      expect(run.complained()).toContain(`${join(project.directory, "pipe.yml")} is no regular file.`);
      expect(run.complained()).toContain("Name a text file");
    },
  );

  it("refuses a folder as configuration", async () => {
    await using project = await testProject({ "ci/a.yml": HELLO });
    const run = await project.exec(["--file", "ci"]);
    expect(run.code).toBe(1);
    expect(run.complained()).toContain(`${join(project.directory, "ci")} is a folder.`);
  });

  it("refuses a configuration of more than 10 MiB", async () => {
    await using project = await testProject({ ".gitlab-ci.yml": HELLO });
    await project.write("large.yml", "#".repeat(10 * 1024 * 1024 + 1));
    const run = await project.exec(["--file", "large.yml"]);
    expect(run.code).toBe(1);
    expect(run.complained()).toContain("large.yml has 10485761 bytes; a configuration has 10485760 at most.");
  });

  it("refuses a configuration that is not UTF-8", async () => {
    await using project = await testProject({ ".gitlab-ci.yml": HELLO });
    await writeFile(
      join(project.directory, "latin.yml"),
      Buffer.from("a: { script: [echo gr\u00FC\u00DFe] }\n", "latin1"),
    );
    const run = await project.exec(["--file", "latin.yml"]);
    expect(run.code).toBe(1);
    expect(run.complained()).toContain("latin.yml is not UTF-8.");
    expect(run.complained()).toContain("Save it as UTF-8");
  });

  it("says which symbolic links go in a circle, without a stack", async () => {
    await using project = await testProject({ ".gitlab-ci.yml": HELLO });
    await symlink("b.yml", join(project.directory, "a.yml"));
    await symlink("a.yml", join(project.directory, "b.yml"));
    const run = await project.exec(["--file", "a.yml"]);
    expect(run.code).toBe(1);
    expect(run.complained()).toContain(
      `${join(project.directory, "a.yml")}: the symbolic links go in a circle (ELOOP).`,
    );
    expect(run.complained()).not.toContain("    at ");
  });

  it("points to the top of the repository from a subfolder without a configuration", async () => {
    await using project = await testProject({ ".gitlab-ci.yml": HELLO, "src/deep/a.txt": "" });
    const run = await project.exec(["-C", "src/deep"]);
    expect(run.code).toBe(1);
    expect(run.complained()).toContain("try fleetfoot exec -C ../..\n");
  });

  it.each([
    { word: "nothing-here", says: "There is no folder" },
    { word: ".gitlab-ci.yml", says: "is no folder." },
    { word: ".gitlab-ci.yml/x", says: "There is no folder" },
  ])("-C $word: says that there is no such folder, and nothing about git", async ({ word, says }) => {
    await using project = await testProject({ ".gitlab-ci.yml": HELLO });
    const run = await project.exec(["-C", word]);
    expect(run.code).toBe(1);
    expect(run.complained()).toContain(says);
    expect(run.complained()).toContain(word);
    expect(run.complained()).not.toContain("Install git");
  });
});

describe("fleetfoot exec outside of a repository", () => {
  it("finds the files that rules and includes ask for, and runs the jobs", async () => {
    await using project = await testProject({});
    const directory = join(project.directory, "..", "plain");
    await mkdir(join(directory, "ci"), { recursive: true });
    await writeFile(join(directory, ".gitlab-ci.yml"), "include: ['ci/*.yml']\n");
    await writeFile(join(directory, "ci/a.yml"), "a: { script: [echo ran], rules: [{ exists: [ci/a.yml] }] }\n");
    const run = await project.exec(["-C", directory]);
    expect(run.printed()).toContain("a | ran\n");
    expect(run.code).toBe(0);
  });
});

describe("fleetfoot exec and its state", () => {
  it("shows nothing new in git status", async () => {
    await using project = await testProject({ ".gitlab-ci.yml": HELLO, ".gitignore": "" });
    expect((await project.exec()).code).toBe(0);
    expect(await project.git("status", "--porcelain")).toBe("");
  });

  it("leaves a .gitignore in the state directory as it is, and writes none beside files of the user", async () => {
    await using project = await testProject({ ".gitlab-ci.yml": HELLO, "own/a.txt": "" });
    await project.write(".fleetfoot/.gitignore", "mine\n");
    await project.exec();
    expect(await readFile(join(project.directory, ".fleetfoot/.gitignore"), "utf8")).toBe("mine\n");
    await project.exec(["--state-dir", "own"]);
    expect(await readdir(join(project.directory, "own"))).not.toContain(".gitignore");
  });

  it.each([
    { given: "", says: "--state-dir has no value." },
    { given: ".", says: "is the project itself" },
    { given: "..", says: "has the project in it" },
    { given: ".git", says: "of git's own" },
    { given: ".git/fleetfoot", says: "of git's own" },
  ])("refuses the state directory '$given'", async ({ given, says }) => {
    await using project = await testProject({ ".gitlab-ci.yml": HELLO });
    const before = await readdir(join(project.directory, ".git"));
    const run = await project.exec(["--state-dir", given]);
    expect(run.code).toBe(1);
    expect(run.complained()).toContain(says);
    expect(run.complained()).toContain("Name a folder of its own");
    expect(await readdir(join(project.directory, ".git"))).toEqual(before);
  });

  it("names the file that is where the state directory should be", async () => {
    await using project = await testProject({ ".gitlab-ci.yml": HELLO });
    await project.write(".fleetfoot", "a file");
    const run = await project.exec();
    expect(run.code).toBe(1);
    expect(run.complained()).toContain(
      `${join(project.directory, ".fleetfoot")}: there is a file of this name already`,
    );
    expect(run.complained()).not.toContain("    at ");
  });
});

describe("fleetfoot exec in a repository that is special", () => {
  it("leaves the index of the commit alone that a hook is asked about", async () => {
    await using project = await testProject({
      ".gitlab-ci.yml": "show: { script: [cat a.txt, 'test -z \"$GIT_INDEX_FILE$GIT_DIR\"'] }\n",
      "a.txt": "one\n",
      "b.txt": "one\n",
    });
    await project.write("a.txt", "two\n");
    await project.git("add", "a.txt");
    await project.write("b.txt", "not staged\n");
    const index = join(project.directory, ".git/index");
    const before = await readFile(index);
    const run = await project.exec([], {
      GIT_INDEX_FILE: index,
      GIT_DIR: join(project.directory, ".git"),
      GIT_WORK_TREE: project.directory,
      GIT_PREFIX: "",
    });
    expect(run.printed()).toContain("show | two\n");
    expect(run.code).toBe(0);
    expect(await readFile(index)).toEqual(before);
    expect(await project.git("status", "--porcelain")).toBe("M  a.txt\n M b.txt\n");
  });

  it("runs the jobs of a shallow clone", async () => {
    await using origin = await testProject({ ".gitlab-ci.yml": HELLO });
    await origin.git(
      "-c",
      "user.name=T",
      "-c",
      "user.email=t@example.org",
      "commit",
      "--quiet",
      "--allow-empty",
      "-m",
      "2",
    );
    await using project = await testProject({});
    const clone = join(project.directory, "..", "clone");
    await project.git("clone", "--quiet", "--depth", "1", `file://${origin.directory}`, clone);
    const run = await project.exec(["-C", clone]);
    expect(run.printed()).toContain("hello | hello from hello\n");
    expect(run.code).toBe(0);
    const changed = await project.exec(["-C", clone, "--variable", "GIT_DEPTH=0"]);
    expect(changed.code).toBe(0);
  });

  it("runs the jobs of a branch whose name begins with that of an earlier one, and the other way round", async () => {
    await using project = await testProject({ ".gitlab-ci.yml": HELLO });
    for (const branch of ["feat", "feat/x", "feat"]) {
      await project.git("branch", "--move", "aside");
      await project.git("branch", "--move", branch);
      const run = await project.exec();
      expect(run.complained()).toBe("");
      expect(run.code).toBe(0);
    }
  });

  it("runs the jobs of a repository with SHA-256", async () => {
    await using project = await testProject({});
    const directory = join(project.directory, "..", "sha256");
    await project.git("init", "--quiet", "--object-format=sha256", directory);
    await writeFile(join(directory, ".gitlab-ci.yml"), "show: { script: ['echo ${#CI_COMMIT_SHA}'] }\n");
    const fresh = await project.exec(["-C", directory]);
    expect(fresh.printed()).toContain("show | 64\n");
    await project.git("-C", directory, "add", "--all");
    await project.git("-C", directory, "-c", "user.name=T", "-c", "user.email=t@example.org", "commit", "-qm", "1");
    const run = await project.exec(["-C", directory]);
    expect(run.printed()).toContain("show | 64\n");
    expect(run.code).toBe(0);
  });

  it("shows what git says when the sources cannot be fetched", async () => {
    await using project = await testProject({
      ".gitlab-ci.yml": "a: { script: [echo a], variables: { GIT_FETCH_EXTRA_FLAGS: --no-such-flag } }\n",
    });
    const run = await project.exec();
    expect(run.code).toBe(1);
    expect(run.printed()).toMatch(/a \| (error|fatal): .*no-such-flag/);
  });
});

describe("what fleetfoot exec warns of", () => {
  it("names once the jobs whose image and services have no effect", async () => {
    await using project = await testProject({
      ".gitlab-ci.yml": `a: { image: node, parallel: 2, script: [echo] }
b: { image: node, script: [echo] }
c: { services: [redis], script: [echo] }
d: { script: [echo] }
`,
    });
    const run = await project.exec(["--list"]);
    expect(run.complained()).toBe(
      ".gitlab-ci.yml:1: jobs a, b: image has no effect with the shell executor; the script runs on this machine\n" +
        ".gitlab-ci.yml:3: job c: services have no effect with the shell executor; the script runs on this machine\n",
    );
  });

  it("says at the end how many warnings there were", async () => {
    await using project = await testProject({
      ".gitlab-ci.yml": "include: [{ template: Jobs/Build.gitlab-ci.yml }]\na: { image: x, script: [echo] }\n",
    });
    const run = await project.exec();
    expect(run.code).toBe(0);
    expect(run.printed()).toContain("2 warnings about the configuration, see above.\n");
  });

  it("says where a secret of several lines is masked, and does so there", async () => {
    await using project = await testProject({
      ".gitlab-ci.yml": `a: { script: ['echo "$KEY"'] }\n`,
    });
    const run = await project.exec(["--secret", "KEY"], { KEY: "first-line\nsecond-line" });
    expect(run.complained()).toMatch(/--secret KEY has several lines and is masked only where/);
    expect(run.printed()).toContain("a | [MASKED]\n");
    expect(run.printed() + run.complained()).not.toMatch(/first-line|second-line/);
  });

  it("says that the name of a job holds a secret, without showing it in the warning", async () => {
    await using project = await testProject({ ".gitlab-ci.yml": "deploy-hunter22: { script: [echo] }\n" });
    const run = await project.exec(["--list", "--secret", "KEY=hunter22"]);
    expect(run.complained()).toContain("The value of --secret KEY is part of the name of a job");
    expect(run.complained()).not.toContain("hunter22");
  });
});

describe("how fleetfoot exec fails", () => {
  it("says that --json goes with --list", async () => {
    await using project = await testProject({ ".gitlab-ci.yml": HELLO });
    const run = await project.exec(["--json"]);
    expect(run.code).toBe(1);
    expect(run.complained()).toContain("--json goes with --list.");
  });

  it("says what stopped it, without a stack", async () => {
    await using project = await testProject({ ".gitlab-ci.yml": HELLO });
    const context = testContext({
      environment: testEnvironment(project.directory),
      workingDirectory: project.directory,
    });
    context.stopAtOnce(new StopReason("SIGINT"));
    expect(await runCli(["exec"], context)).toBe(1);
    expect(context.complained()).toBe("fleetfoot exec: stopped by SIGINT.\n");
  });

  it("says what git said, without a stack", async () => {
    await using project = await testProject({ ".gitlab-ci.yml": HELLO });
    await mkdir(join(project.directory, "bin"));
    const fake = join(project.directory, "bin/git");
    await writeFile(
      fake,
      '#!/bin/sh\ncase "$*" in *write-tree*) echo "fatal: out of luck" >&2; exit 128;; esac\nPATH=${PATH#*:} exec git "$@"\n',
    );
    await chmod(fake, 0o755);
    const run = await project.exec([], { PATH: `${join(project.directory, "bin")}:${process.env["PATH"]}` });
    expect(run.code).toBe(1);
    expect(run.complained()).toContain("write-tree: fatal: out of luck\n");
    expect(run.complained()).not.toContain("    at ");
  });
});
