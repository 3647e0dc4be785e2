import { execFile } from "node:child_process";
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { runCli } from "../cli.ts";
import { testContext } from "../testing/context.ts";
import { testEnvironment, testProject, type TestProject } from "../testing/project.ts";
import { elsewhereRunner, serveProject } from "../testing/served-project.ts";

const runFile = promisify(execFile);

const PIPELINE = `
stages: [build, test]
variables: { GREETING: hello }
build:
  stage: build
  script:
    - echo "$GREETING from $CI_JOB_NAME of $CI_PROJECT_PATH at $CI_SERVER_URL with $PASSWORD"
    - cat file.txt new.txt
    - mkdir out && echo made > out/made.txt && echo "NUMBER=42" > build.env
    - test -e kept/file && echo cache-was-there || { mkdir kept && echo x > kept/file; }
  cache: { key: { files: [file.txt] }, paths: [kept/] }
  artifacts: { paths: [out/], reports: { dotenv: build.env } }
test:
  stage: test
  parallel: 2
  script: [cat out/made.txt, 'echo "number $NUMBER, node $CI_NODE_INDEX of $CI_NODE_TOTAL"', "git log --format=%s"]
skipped: { stage: test, when: manual, script: [echo never] }
`;

const WAITING = `
stages: [one, two]
first: { stage: one, script: [echo begun, 'until [ -e "$CI_BUILDS_DIR/../gate" ]; do sleep 0.02; done', echo through] }
second: { stage: two, script: [echo second ran] }
`;

function complexProject(): Promise<TestProject> {
  return testProject({ ".gitlab-ci.yml": PIPELINE, "file.txt": "committed\n" });
}

describe("fleetfoot coordinator", () => {
  it("runs a pipeline by a runner of another process and folder: sources, variables, caches, artifacts, logs", async () => {
    await using project = await complexProject();
    await using elsewhere = await elsewhereRunner();
    await project.write("file.txt", "changed\n");
    await project.write("new.txt", "untracked\n");
    const before = await project.git("status", "--porcelain");
    const served = await serveProject(project, ["--secret", "PASSWORD=s3cretvalue"]);
    expect(await elsewhere.register(["--url", served.url, "--token", served.token])).toContain('"elsewhere" was added');
    const runner = elsewhere.run();
    expect(await served.process.ended).toBe(0);
    const output = served.process.output();
    expect(output).toContain("Runner 1 (runner of the printed token) has a machine: ");
    expect(output).toMatch(
      /build {4}\| hello from build of local\/project at http:\/\/127\.0\.0\.1:\d+ with \[MASKED\]\n/,
    );
    expect(output).toContain("build    | changed\n");
    expect(output).toContain("build    | untracked\n");
    expect(output).toContain("test 1/2 | made\n");
    expect(output).toContain("test 2/2 | number 42, node 2 of 2\n");
    expect(output).not.toContain("| cache-was-there");
    expect(output).toMatch(/Pipeline passed in .*, with uncommitted changes\./);
    expect(output).not.toContain("s3cretvalue");
    expect(await project.git("status", "--porcelain")).toBe(before);
    const state = join(project.directory, ".fleetfoot/served");
    expect((await stat(join(state, "tokens.json"))).mode & 0o777).toBe(0o600);
    expect((await readFile(join(state, "coordinator/jobs/1/trace.log"), "utf8")).includes("s3cretvalue")).toBe(false);
    expect(await readdir(state)).not.toContain("lock");

    // The runner is still registered, and its caches are its own.
    const again = await serveProject(project, ["--listen", new URL(served.url).host]);
    expect(again.token).toBe(served.token);
    expect(await again.process.ended).toBe(0);
    expect(again.process.output()).toContain("build    | cache-was-there\n");
    runner.kill("SIGQUIT");
    expect(await runner.ended).toBe(0);
  }, 120_000);

  it("takes runners that register by registration token, with their tags where tags count", async () => {
    await using project = await testProject({
      ".gitlab-ci.yml": "tagged: { tags: [linux], script: [echo on $CI_RUNNER_TAGS] }\n",
    });
    await using elsewhere = await elsewhereRunner();
    const served = await serveProject(project, ["--match-tags"]);
    const words = ["--url", served.url, "--registration-token", served.registrationToken, "--tag-list", "linux,x"];
    expect(await elsewhere.register(words)).toContain("was added");
    elsewhere.run();
    expect(await served.process.ended).toBe(0);
    expect(served.process.output()).toContain("Runner 2 (elsewhere) was registered.");
    expect(served.process.output()).toContain('tagged | on ["linux", "x"]\n'.replace(", ", ","));
  }, 60_000);

  it("serves all of it by https to a runner that knows its certificate", async () => {
    await using project = await testProject({ ".gitlab-ci.yml": PIPELINE, "file.txt": "a\n", "new.txt": "b\n" });
    await using elsewhere = await elsewhereRunner();
    const [key, certificate] = [join(elsewhere.folder, "key.pem"), join(elsewhere.folder, "certificate.pem")];
    const words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=coordinator";
    const name = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate];
    await runFile("openssl", [...words.split(" "), ...name]);
    const served = await serveProject(project, ["--tls-key", key, "--tls-certificate", certificate]);
    expect(served.url).toMatch(/^https:/);
    const access = ["--url", served.url, "--token", served.token];
    expect(await elsewhere.register(access)).toContain("did not accept the runner");
    expect(await elsewhere.register([...access, "--tls-ca-file", certificate])).toContain("was added");
    elsewhere.run();
    expect(await served.process.ended).toBe(0);
    expect(served.process.output()).toContain("test 2/2 | number 42, node 2 of 2\n");
  }, 60_000);

  it("ends with 1 when a job fails", async () => {
    await using project = await testProject({ ".gitlab-ci.yml": "broken: { script: [exit 7] }\n" });
    await using elsewhere = await elsewhereRunner();
    const served = await serveProject(project);
    await elsewhere.register(["--url", served.url, "--token", served.token]);
    elsewhere.run();
    expect(await served.process.ended).toBe(1);
    expect(served.process.output()).toContain("exit code 7");
  }, 60_000);

  it("goes on after SIGINT where it was, while its runner keeps working", async () => {
    await using project = await testProject({ ".gitlab-ci.yml": WAITING });
    await using elsewhere = await elsewhereRunner();
    const first = await serveProject(project);
    const listen = ["--listen", new URL(first.url).host];
    await elsewhere.register(["--url", first.url, "--token", first.token]);
    elsewhere.run();
    await first.process.printed("first  | begun");
    first.process.kill("SIGINT");
    expect(await first.process.ended).toBe(1);
    expect(first.process.output()).toContain("Pipeline 1 has not ended. The same command goes on with it.");
    // Changes since then are no part of it.
    await project.write(".gitlab-ci.yml", "other: { script: [exit 1] }\n");
    await project.write("ci/other.yml", "other: { script: [exit 1] }\n");
    const refused = await serveProject(project, [...listen, "--pipeline", "ci/other.yml"]).catch(String);
    expect(refused).toContain("Pipeline 1, of .gitlab-ci.yml, has not ended, so ci/other.yml cannot be started.");
    expect(refused).toContain("Add --new");
    const second = await serveProject(project, listen);
    await second.process.printed("Going on with pipeline 1");
    await writeFile(join(elsewhere.folder, "gate"), "");
    expect(await second.process.ended).toBe(0);
    expect(second.process.output()).toContain("second | second ran\n");
    expect(second.process.output()).not.toContain("other");
  }, 120_000);

  it("finishes running jobs after SIGQUIT and hands out no further one", async () => {
    await using project = await testProject({ ".gitlab-ci.yml": WAITING });
    await using elsewhere = await elsewhereRunner();
    const served = await serveProject(project);
    await elsewhere.register(["--url", served.url, "--token", served.token]);
    elsewhere.run();
    await served.process.printed("first  | begun");
    served.process.kill("SIGQUIT");
    await served.process.printed("no further one is handed out");
    await writeFile(join(elsewhere.folder, "gate"), "");
    expect(await served.process.ended).toBe(1);
    expect(served.process.output()).toContain("first  > passed");
    expect(served.process.output()).not.toContain("second ran");
  }, 60_000);

  it("starts over with --new, and tells the runner of the old job to stop", async () => {
    await using project = await testProject({ ".gitlab-ci.yml": WAITING });
    await using elsewhere = await elsewhereRunner();
    const first = await serveProject(project);
    await elsewhere.register(["--url", first.url, "--token", first.token]);
    elsewhere.run();
    await first.process.printed("first  | begun");
    first.process.kill("SIGTERM");
    expect(await first.process.ended).toBe(1);
    await project.write(".gitlab-ci.yml", "other: { script: [echo other ran] }\n");
    const second = await serveProject(project, ["--new", "--listen", new URL(first.url).host]);
    expect(await second.process.ended).toBe(0);
    expect(second.process.output()).toContain("other | other ran\n");
    const summary = await readFile(join(project.directory, ".fleetfoot/served/coordinator/pipelines/1.json"), "utf8");
    expect(JSON.parse(summary)).toMatchObject({ status: "canceled" });
  }, 120_000);

  it("stays with --keep, and runs the pipeline of the files as they are at SIGHUP", async () => {
    await using project = await testProject({ ".gitlab-ci.yml": "one: { script: [echo the first] }\n" });
    await using elsewhere = await elsewhereRunner();
    const served = await serveProject(project, ["--keep"]);
    await elsewhere.register(["--url", served.url, "--token", served.token]);
    elsewhere.run();
    await served.process.printed("one | the first\n");
    await served.process.printed("Waiting: SIGHUP");
    await project.write(".gitlab-ci.yml", "two: [\n");
    served.process.kill("SIGHUP");
    await served.process.printed("Nothing was run.");
    await project.write(".gitlab-ci.yml", "two: { script: [echo the second, exit 3] }\n");
    served.process.kill("SIGHUP");
    await served.process.printed("two | the second\n");
    await served.process.printed("Pipeline failed");
    served.process.kill("SIGINT");
    expect(await served.process.ended).toBe(1);
    expect(served.process.output()).not.toContain("has not ended");
  }, 60_000);

  it("gives the sources to who has the token of a running job, for fetching only", async () => {
    await using project = await testProject({
      ".gitlab-ci.yml": WAITING.replace("echo begun", '"echo $CI_JOB_TOKEN | base64 | rev"'),
    });
    await using elsewhere = await elsewhereRunner();
    const served = await serveProject(project);
    await elsewhere.register(["--url", served.url, "--token", served.token]);
    elsewhere.run();
    await served.process.printed("> started");
    const journal = await readFile(join(project.directory, ".fleetfoot/served/coordinator/journal.jsonl"), "utf8");
    const token = /"token":"(glcbt-[0-9a-f]+)"/.exec(journal)?.[1] ?? "";
    const address = (password: string, path = "local/project.git"): string =>
      `${served.url.replace("//", `//gitlab-ci-token:${password}@`)}/${path}`;
    const environment = { ...testEnvironment(elsewhere.folder), GIT_TERMINAL_PROMPT: "0" };
    const git = async (...words: string[]): Promise<string> =>
      (await runFile("git", words, { cwd: elsewhere.folder, env: environment })).stdout;
    await git("clone", "--quiet", "--depth", "1", address(token), "clone");
    expect(await readdir(join(elsewhere.folder, "clone"))).toContain(".gitlab-ci.yml");
    await git("clone", "--quiet", address(token, "local/project"), "without-ending");
    await expect(git("clone", "--quiet", address("wrong"), "refused")).rejects.toThrow("Authentication failed");
    await expect(git("clone", "--quiet", address(token, "other/project.git"), "missing")).rejects.toThrow("not found");
    await expect(git("-C", "clone", "push", "--quiet", "origin", "HEAD:refs/heads/new")).rejects.toThrow("403");
    for (const [path, status] of [
      ["local/project.git/HEAD", 403],
      ["local/project.git/objects/info/packs", 403],
      ["local/project.git/../../etc/passwd", 404],
      ["local/project.git/info/refs?service=git-receive-pack", 403],
      ["local/%ff%zz.git/info/refs", 404],
    ] as const) {
      const headers = { Authorization: `Basic ${Buffer.from(`x:${token}`).toString("base64")}` };
      expect([path, (await fetch(`${served.url}/${path}`, { headers })).status]).toEqual([path, status]);
    }
    await writeFile(join(elsewhere.folder, "gate"), "");
    expect(await served.process.ended).toBe(0);
  }, 60_000);

  it("refuses a second one with the same state, and an address that is taken", async () => {
    await using project = await testProject({ ".gitlab-ci.yml": WAITING });
    const served = await serveProject(project);
    const attempt = async (...words: readonly string[]): Promise<string> => {
      const context = testContext({
        environment: testEnvironment(project.directory),
        workingDirectory: project.directory,
      });
      expect(await runCli(["coordinator", ...words], context)).toBe(1);
      return context.complained();
    };
    const { host } = new URL(served.url);
    expect(await attempt("--listen", host)).toContain(`Process ${served.process.processId} is a coordinator`);
    expect(await attempt("--listen", host, "--state-dir", ".fleetfoot/other")).toContain(`cannot listen on ${host}`);
    served.process.kill("SIGINT");
    await served.process.ended;
  }, 60_000);

  it.each([
    [["--listen", "8080"], "--listen 8080 is no address."],
    [["--listen", "host:99999"], "--listen host:99999 is no address."],
    [["--listen", "0.0.0.0:0"], "Nobody could be told where to find"],
    [["--url", "ftp://host"], "--url ftp://host is no address of a server."],
    [["--url", "nowhere"], "--url nowhere is no address."],
    [["--tls-key", "key.pem"], "--tls-certificate and --tls-key go together."],
    [["--tls-key", "none.pem", "--tls-certificate", "none.pem"], "none.pem"],
    [["--tls-key", ".gitlab-ci.yml", "--tls-certificate", ".gitlab-ci.yml"], "key and certificate cannot be used"],
    [["--pipeline", "none.yml"], "none.yml"],
    [["-C", "none"], "There is no folder"],
  ])("says what is wrong with %j", async (words, message) => {
    await using project = await testProject({ ".gitlab-ci.yml": WAITING });
    const context = testContext({
      environment: testEnvironment(project.directory),
      workingDirectory: project.directory,
    });
    const listen = words.includes("--listen") ? [] : ["--listen", "127.0.0.1:0"];
    expect(await runCli(["coordinator", ...listen, ...words], context)).toBe(1);
    expect(context.complained()).toContain(message);
    expect(context.complained()).not.toContain("fault of fleetfoot");
  });
});
