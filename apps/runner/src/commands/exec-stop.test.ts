import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { startChild, type ChildRunner } from "../testing/process.ts";
import { testEnvironment, testProject, type TestProject } from "../testing/project.ts";

/** Waits for a file beside the project, so that a test says when it goes on. */
const PIPELINE = `
stages: [one, two]
variables: { GATE: "$CI_BUILDS_DIR/../../../gate" }
first: { stage: one, script: ['[ -e "$GATE" ] || echo "$$-waits"', 'until [ -e "$GATE" ]; do sleep 0.02; done', echo through] }
second: { stage: two, script: [echo second ran] }
`;

const STUBBORN = PIPELINE.replace("script: [", "script: [\"trap '' TERM\", ");

describe("fleetfoot exec that is stopped", () => {
  it("stops the jobs at SIGINT, cleans up, prints the summary and ends with 1", async () => {
    await using project = await testProject({ ".gitlab-ci.yml": PIPELINE });
    const child = start(project);
    const shell = await waitingShell(child);
    child.kill("SIGINT");
    expect(await child.ended).toBe(1);
    expect(child.output()).toMatch(/Pipeline (canceled|failed) in /);
    expect(child.output()).toContain("Logs and artifacts:");
    expect(child.output()).not.toContain("no further one is started");
    expect(child.output()).not.toContain("second ran");
    expect(await isRunning(shell)).toBe(false);
    expect(await readdir(join(project.directory, ".fleetfoot/tmp"))).toEqual([]);
    expect(await readdir(join(project.directory, ".fleetfoot"))).not.toContain("lock");
    expect((await temporaryFolders(project)).length).toBe(0);
  });

  it("stops the jobs when the terminal is closed", async () => {
    await using project = await testProject({ ".gitlab-ci.yml": PIPELINE });
    const child = start(project);
    const shell = await waitingShell(child);
    child.kill("SIGHUP");
    expect(await child.ended).toBe(1);
    expect(await isRunning(shell)).toBe(false);
  });

  it("stops the jobs when nobody reads its output any longer", async () => {
    const printing = PIPELINE.replace("echo through", "'while true; do echo more; sleep 0.02; done'");
    await using project = await testProject({ ".gitlab-ci.yml": printing });
    const child = start(project);
    const shell = await waitingShell(child);
    child.stopReading();
    await openGate(project);
    expect(await child.ended).toBe(1);
    expect(await isRunning(shell)).toBe(false);
    expect(await readdir(join(project.directory, ".fleetfoot"))).not.toContain("lock");
  });

  it("finishes the running jobs after SIGQUIT and starts no further one", async () => {
    await using project = await testProject({ ".gitlab-ci.yml": PIPELINE });
    const child = start(project);
    await waitingShell(child);
    child.kill("SIGQUIT");
    await child.printed("no further one is started");
    await openGate(project);
    expect(await child.ended).toBe(1);
    expect(child.output()).toContain("first  | through");
    expect(child.output()).toContain("first  > passed");
    expect(child.output()).toContain("second > canceled");
    expect(child.output()).not.toContain("second ran");
    expect(child.output()).toContain("Pipeline canceled in ");
  });

  it("kills the processes of jobs before it exits at the second Ctrl-C, says what that means and ends with 130", async () => {
    await using project = await testProject({ ".gitlab-ci.yml": STUBBORN });
    const child = start(project);
    const shell = await waitingShell(child);
    child.kill("SIGINT");
    await child.printed("first  > canceled");
    await child.printed("A second Ctrl-C kills them");
    expect(await child.killUntilEnded("SIGINT")).toBe(130);
    expect(child.output()).toContain("ended at once by a second signal (SIGINT). Running jobs are killed");
    await expect.poll(async () => await isRunning(shell)).toBe(false);
  });

  it("takes the signal of a terminal that npx passes on as well for one Ctrl-C", async () => {
    await using project = await testProject({ ".gitlab-ci.yml": PIPELINE });
    const child = start(project);
    await waitingShell(child);
    child.kill("SIGINT");
    child.kill("SIGINT");
    expect(await child.ended).toBe(1);
    expect(child.output()).toContain("Logs and artifacts:");
    expect(child.output()).not.toContain("second signal");
  });

  it("passes after a run that was killed in the middle of a job, whatever that has left", async () => {
    await using project = await testProject({ ".gitlab-ci.yml": PIPELINE });
    const child = start(project);
    const orphan = await waitingShell(child);
    child.kill("SIGKILL");
    await child.ended;
    const state = join(project.directory, ".fleetfoot");
    expect(await readdir(join(state, "tmp"))).toHaveLength(1);
    // As if git had been killed as well, here and in the working copy.
    const places = await readdir(join(state, "builds"), { recursive: true });
    const copies = places.filter((place) => place.endsWith("/.git"));
    expect(copies).toHaveLength(1);
    const repositories = [join(state, "sources.git"), ...copies.map((copy) => join(state, "builds", copy))];
    for (const repository of repositories) {
      await mkdir(join(repository, "refs/heads"), { recursive: true });
      await writeFile(join(repository, "index.lock"), "");
      await writeFile(join(repository, "refs/heads/main.lock"), "");
    }
    try {
      await project.write("new.txt", "changed since");
      await openGate(project);
      const run = await project.exec();
      expect(run.printed()).toContain("second | second ran");
      expect(run.code).toBe(0);
      expect(await readdir(join(state, "tmp"))).toEqual([]);
    } finally {
      // The gate lets it end by itself; this is for a test that fails before.
      if (await isRunning(orphan)) process.kill(-orphan, "SIGKILL");
    }
  });
});

function start(project: TestProject): ChildRunner {
  return startChild(["exec"], {
    directory: project.directory,
    environment: testEnvironment(dirname(project.directory)),
  });
}

/** Process id of the first job's shell, once it waits. */
async function waitingShell(child: ChildRunner): Promise<number> {
  await child.printed("-waits\n");
  return Number(/(\d+)-waits\n/.exec(child.output())?.[1]);
}

async function openGate(project: TestProject): Promise<void> {
  await writeFile(join(dirname(project.directory), "gate"), "");
}

/** Of jobs: each has one beside its working copy. */
async function temporaryFolders(project: TestProject): Promise<readonly string[]> {
  const places = await readdir(join(project.directory, ".fleetfoot/builds"), { recursive: true });
  return places.filter((place) => place.endsWith(".tmp"));
}

/** A zombie does not run. */
async function isRunning(processId: number): Promise<boolean> {
  expect(processId).toBeGreaterThan(0);
  const stat = await readFile(`/proc/${processId}/stat`, "utf8").catch(() => ") Z ");
  return !stat.includes(") Z ");
}
