import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { takeLock } from "../lock.ts";
import { testProject, type TestProject } from "../testing/project.ts";

const HELLO = "hello: { script: [echo hello from $CI_JOB_NAME] }\n";

describe("fleetfoot exec", () => {
  it("runs the jobs and shows what they print", async () => {
    await using project = await testProject({ ".gitlab-ci.yml": HELLO });
    const run = await project.exec();
    expect(run.complained()).toBe("");
    expect(run.printed()).toContain("hello | hello from hello\n");
    expect(run.printed()).toContain("Pipeline passed");
    expect(run.code).toBe(0);
  });

  it("ends with 1 when a job fails, and says which one and why", async () => {
    await using project = await testProject({ ".gitlab-ci.yml": "broken: { script: [exit 7] }\n" });
    const run = await project.exec();
    expect(run.code).toBe(1);
    expect(run.printed()).toContain("exit code 7");
    expect(run.printed()).toContain("Pipeline failed");
  });

  it("takes uncommitted changes along and leaves the working tree as it was", async () => {
    await using project = await testProject({
      ".gitlab-ci.yml": "show: { script: [cat file.txt new.txt, echo x > made.txt] }\n",
      "file.txt": "old\n",
    });
    await project.write("file.txt", "changed\n");
    await project.write("new.txt", "untracked\n");
    const before = await project.git("status", "--porcelain");
    const run = await project.exec();
    expect(run.printed()).toContain("show | changed\n");
    expect(run.printed()).toContain("show | untracked\n");
    expect(await project.git("status", "--porcelain")).toBe(before);
  });

  it("JE 61: starts a job as soon as its needs are met, before a slow job of an earlier stage ends", async () => {
    await using project = await testProject({
      ".gitlab-ci.yml": `
stages: [one, two]
a: { stage: one, script: [echo a] }
slow: { stage: one, script: ["until [ -e ../c-ran ]; do sleep 0.02; done"], variables: { GIT_STRATEGY: none } }
c: { stage: two, needs: [a], script: [for dir in ../../*/; do touch "$dir/c-ran"; done], variables: { GIT_STRATEGY: none } }
`,
    });
    const run = await project.exec(["-j", "3"]);
    expect(run.code).toBe(0);
    const started = run.printed().indexOf("c    > started");
    expect(started).toBeGreaterThan(-1);
    expect(started).toBeLessThan(run.printed().indexOf("slow > passed"));
  });

  it("JE 63: gives artifacts to the jobs that depend on them, and to no others", async () => {
    await using project = await testProject({
      ".gitlab-ci.yml": `
stages: [make, use]
make: { stage: make, script: [echo made > made.txt], artifacts: { paths: [made.txt] } }
with: { stage: use, dependencies: [make], script: [cat made.txt] }
without: { stage: use, dependencies: [], script: [test ! -e made.txt] }
`,
    });
    const run = await project.exec();
    expect(run.printed()).toContain("with    | made\n");
    expect(run.code).toBe(0);
    await expect(stat(join(project.directory, "made.txt"))).rejects.toThrow("ENOENT");
  });

  it.each([
    { code: 42, passes: true },
    { code: 43, passes: false },
  ])(
    "JE 64: a job that may fail with 42 and ends with $code lets the pipeline pass: $passes",
    async ({ code, passes }) => {
      await using project = await testProject({
        ".gitlab-ci.yml": `maybe: { script: [exit ${code}], allow_failure: { exit_codes: [42] } }\n`,
      });
      const run = await project.exec();
      expect(run.code).toBe(passes ? 0 : 1);
      expect(run.printed()).toContain(passes ? "Pipeline passed with warnings" : "Pipeline failed");
    },
  );

  it("restores in the second run what the first one saved", async () => {
    await using project = await testProject({
      ".gitlab-ci.yml": `
cached:
  cache: { key: { files: [lock] }, paths: [store/] }
  script:
    - if [ -e store/x ]; then echo found; else mkdir store && echo x > store/x && echo made; fi
`,
      lock: "1\n",
    });
    const first = await project.exec();
    expect(first.printed()).toContain("cached | made\n");
    expect(first.printed()).toMatch(/Caches: 0 hits \(0 B\), 1 miss, 1 saved/);
    const second = await project.exec();
    expect(second.printed()).toContain("cached | found\n");
    expect(second.printed()).toMatch(/Caches: 1 hit \(\d+ B\), 0 misses/);
  });

  it("keeps the value of a secret out of what it prints and out of every file that it keeps", async () => {
    await using project = await testProject({ ".gitlab-ci.yml": 'leak: { script: ["echo the token is $TOKEN"] }\n' });
    const secret = "s3cret-value-0815";
    const run = await project.exec(["--secret", "TOKEN"], { TOKEN: secret });
    expect(run.printed()).toContain("leak | the token is [MASKED]");
    expect(run.printed()).not.toContain(secret);
    expect(await filesThatHold(join(project.directory, ".fleetfoot"), secret)).toEqual([]);
  });

  it("runs only the jobs that are named", async () => {
    await using project = await testProject({ ".gitlab-ci.yml": "a: { script: [echo a] }\nb: { script: [echo b] }\n" });
    const run = await project.exec(["b"]);
    expect(run.printed()).toContain("b | b");
    expect(run.printed()).not.toContain("a | a");
  });

  it("lists jobs as JSON", async () => {
    await using project = await testProject({ ".gitlab-ci.yml": HELLO });
    const run = await project.exec(["--list", "--json"]);
    expect(JSON.parse(run.printed())).toEqual([
      expect.objectContaining({ name: "hello", stage: "test", when: "on_success" }),
    ]);
  });

  it.each([
    { source: "merge_request_event", jobs: ["a"] },
    { source: "push", jobs: ["b"] },
  ])("JE 68: a pipeline of $source has the jobs $jobs", async ({ source, jobs }) => {
    await using project = await mergeRequestProject();
    const run = await project.exec(["--list", "--json", "--source", source]);
    expect((JSON.parse(run.printed()) as { name: string }[]).map((job) => job.name)).toEqual(jobs);
  });

  it("JE 68: says so when the rules of the workflow want no pipeline", async () => {
    await using project = await mergeRequestProject();
    const run = await project.exec(["--source", "schedule"]);
    expect(run.code).toBe(1);
    expect(run.complained()).toContain("No pipeline");
  });
});

describe("fleetfoot exec with bad input", () => {
  it.each([
    { what: "broken YAML", file: "a:\n  script: [echo\nb: 1\n", says: /\.gitlab-ci\.yml:\d+: / },
    { what: "an unknown stage", file: "a: { stage: biuld, script: [x] }\n", says: /\.gitlab-ci\.yml:1: .*biuld/ },
    {
      what: "needs in a circle",
      file: "a: { needs: [b], script: [x] }\nb: { needs: [a], script: [x] }\n",
      says: /a -> b -> a|b -> a -> b/,
    },
  ])("$what: names file, line and what is wrong, and runs nothing", async ({ file, says }) => {
    await using project = await testProject({ ".gitlab-ci.yml": file });
    const run = await project.exec();
    expect(run.code).toBe(1);
    expect(run.complained()).toMatch(says);
    expect(await readdir(project.directory)).not.toContain(".fleetfoot");
  });

  it("a missing configuration: names the file", async () => {
    await using project = await testProject({ "a.txt": "" });
    const run = await project.exec();
    expect(run.code).toBe(1);
    expect(run.complained()).toContain(".gitlab-ci.yml");
  });

  it("an unknown job: names it and those that there are", async () => {
    await using project = await testProject({ ".gitlab-ci.yml": HELLO });
    const run = await project.exec(["helo"]);
    expect(run.code).toBe(1);
    expect(run.complained()).toContain("no job helo");
    expect(run.complained()).toContain("did you mean hello?");
  });

  it("no git on the PATH: says so and what to do", async () => {
    await using project = await testProject({ ".gitlab-ci.yml": HELLO });
    const run = await project.exec([], { PATH: "/nonexistent" });
    expect(run.code).toBe(1);
    expect(run.complained()).toContain("git could not be started");
    expect(run.complained()).toContain("Install git");
  });

  it("an unsupported keyword: names it with file and line, and runs the job", async () => {
    await using project = await testProject({ ".gitlab-ci.yml": "a:\n  script: [echo ran]\n  pages: true\n" });
    const run = await project.exec();
    expect(run.complained()).toMatch(/\.gitlab-ci\.yml:3: .*pages/);
    expect(run.printed()).toContain("a | ran");
  });

  it("a cache directory that cannot be used: the job runs, and the log names the directory", async () => {
    await using project = await testProject({
      ".gitlab-ci.yml": "a: { cache: { key: k, paths: [x] }, script: [echo ran; echo 1 > x] }\n",
    });
    await project.exec(["--list"]);
    await project.write(".fleetfoot/caches/project-1", "a file where a directory should be");
    const run = await project.exec();
    expect(run.code).toBe(0);
    expect(run.printed()).toContain("a | ran");
    expect(run.printed()).toMatch(/WARNING: .*caches\/project-1/);
  });

  it("a second run with the same state: names the process that is at it", async () => {
    await using project = await testProject({ ".gitlab-ci.yml": HELLO });
    const lock = await takeLock(join(project.directory, ".fleetfoot/lock"));
    const run = await project.exec();
    expect(run.code).toBe(1);
    expect(run.complained()).toContain(`Process ${process.pid} runs a pipeline`);
    await lock.release();
    expect((await project.exec()).code).toBe(0);
  });
});

function mergeRequestProject(): Promise<TestProject> {
  return testProject({
    ".gitlab-ci.yml": `
workflow: { rules: [{ if: '$CI_PIPELINE_SOURCE == "schedule"', when: never }, { when: always }] }
a: { script: [echo a], rules: [{ if: '$CI_PIPELINE_SOURCE == "merge_request_event"' }] }
b: { script: [echo b], rules: [{ if: $CI_COMMIT_BRANCH }] }
`,
  });
}

async function filesThatHold(folder: string, text: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  expect(paths.length).toBeGreaterThan(0);
  const contents = await Promise.all(
    paths.map(async (path) => ({ path, holds: (await readFile(path)).includes(text) })),
  );
  return contents.filter(({ holds }) => holds).map(({ path }) => path);
}
