import { createServer } from "node:http";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { crc32 } from "node:zlib";
import type { AddressInfo } from "node:net";
import type { JobView, NewJob } from "@fleetfoot/local-coordinator";
import { describe, expect, it, vi } from "vitest";
import { runCli } from "../cli.ts";
import type { StopSignals } from "../context.ts";
import { testContext } from "../testing/context.ts";
import { testEnvironment } from "../testing/project.ts";
import { runnerWorld, type RunnerWorld } from "../testing/running-runner.ts";

const JOBS = 200;

function shellJob(...script: readonly string[]): NewJob {
  return { variables: [{ key: "GIT_STRATEGY", value: "none" }], steps: [{ name: "script", script }] };
}

async function finishAll(world: RunnerWorld, jobs: readonly NewJob[]): Promise<readonly JobView[]> {
  return Promise.all(jobs.map((job) => world.coordinator.addJob(job).finished));
}

/** What is stored of a job is what the runner said that it sent, and what the job printed, once. */
async function expectWholeTrace(world: RunnerWorld, job: JobView, text: string): Promise<void> {
  const trace = await world.coordinator.readTrace(job.id);
  expect(job.finalUpdate).toMatchObject({
    traceMatches: true,
    bytes: trace.length,
    checksum: `crc32:${crc32(trace).toString(16).padStart(8, "0")}`,
  });
  expect(new TextDecoder().decode(trace).split(text)).toHaveLength(2);
}

describe("fleetfoot run", () => {
  it(`runs ${JOBS} short jobs, four at a time: all succeed, each once, every trace complete`, async () => {
    await using world = await runnerWorld();
    await world.configure({ runner: "request_concurrency = 4" });
    const runner = world.start();
    const jobs = await finishAll(
      world,
      Array.from({ length: JOBS }, (_, index) => shellJob(`printf 'result-%s-end\\n' ${index}`)),
    );
    for (const [index, job] of jobs.entries()) {
      expect(job.status).toBe("success");
      await expectWholeTrace(world, job, `result-${index}-end\n`);
    }
    expect(await runner.finish()).toBe(0);
  });

  it(`runs ${JOBS} short jobs when a fifth of all requests fails: the same result`, async () => {
    await using world = await runnerWorld({ confirmationTimeoutMs: 2000 });
    await world.configure({ runner: "request_concurrency = 4" });
    world.server.faults.addRandom({ ratio: 0.2, seed: 20_261_121 });
    const runner = world.start();
    const jobs = await finishAll(
      world,
      Array.from({ length: JOBS }, (_, index) => shellJob(`printf 'result-%s-end\\n' ${index}`)),
    );
    world.server.faults.clear();
    for (const [index, job] of jobs.entries()) {
      expect(job.status).toBe("success");
      await expectWholeTrace(world, job, `result-${index}-end\n`);
    }
    expect(world.server.requests.filter((request) => request.fault !== undefined).length).toBeGreaterThan(JOBS / 2);
    expect(await runner.finish()).toBe(0);
  }, 300_000);

  it("JE 54: finishes the running job after SIGQUIT, takes no other, and ends with 0", async () => {
    await using world = await runnerWorld();
    await world.configure({ top: "concurrent = 1" });
    const runner = world.start();
    const long = world.coordinator.addJob(
      shellJob("echo started", 'until [ -e "$CI_BUILDS_DIR/../go" ]; do sleep 0.02; done'),
    );
    await vi.waitFor(() => expect(world.coordinator.job(long.id)?.status).toBe("running"), { timeout: 20_000 });
    const exitCode = runner.finish();
    const next = world.coordinator.addJob(shellJob("echo never"));
    await writeFile(`${world.folder}/go`, "");
    expect((await long.finished).status).toBe("success");
    expect(await exitCode).toBe(0);
    expect(world.coordinator.job(next.id)?.status).toBe("pending");
  });

  it("stops to take jobs before it lets go of the configuration when it fails right after its start", async () => {
    await using world = await runnerWorld();
    await world.configure();
    const context = testContext({ environment: testEnvironment(world.folder), workingDirectory: world.folder });
    let working = 0;
    const stop: StopSignals = {
      ...context.stop,
      onReload: () => {
        throw new Error("nobody can ask for that");
      },
      onAbandon: () => {
        working += 1;
        return () => (working -= 1);
      },
    };
    const words = ["run", "--config", world.configPath, "--working-directory", world.folder];
    expect(await runCli(words, { ...context, stop })).not.toBe(0);
    expect(working).toBe(0);
    expect(context.complained()).toContain("Waiting for jobs");
    expect(context.complained()).toContain("nobody can ask for that");
    expect(await world.start().finish()).toBe(0);
  });

  it("JE 55: reports a running job as interrupted after SIGTERM, and ends with 0", async () => {
    await using world = await runnerWorld();
    await world.configure();
    const runner = world.start();
    const job = world.coordinator.addJob(shellJob("echo started", "sleep 600"));
    await vi.waitFor(() => expect(world.coordinator.job(job.id)?.status).toBe("running"), { timeout: 20_000 });
    expect(await runner.terminate()).toBe(0);
    const view = await job.finished;
    expect(view.status).toBe("failed");
    expect(["runner_interrupted", "unknown_failure"]).toContain(view.failureReason);
  });

  it("JE 52: runs more jobs at once when the file allows it, without a restart", async () => {
    await using world = await runnerWorld();
    await world.configure({ top: "concurrent = 1", runner: "request_concurrency = 3" });
    const runner = world.start();
    const gate = 'touch "$CI_BUILDS_DIR/../at-$CI_JOB_ID"; until [ -e "$CI_BUILDS_DIR/../go" ]; do sleep 0.02; done';
    const jobs = [1, 2, 3].map(() => world.coordinator.addJob(shellJob(gate)));
    const running = (): number => world.coordinator.jobs.filter((job) => job.status === "running").length;
    await vi.waitFor(() => expect(running()).toBe(1), { timeout: 20_000 });
    await writeFile(
      world.configPath,
      (await readFile(world.configPath, "utf8")).replace("concurrent = 1", "concurrent = 3"),
    );
    runner.context.reload();
    await vi.waitFor(() => expect(running()).toBe(3), { timeout: 20_000 });
    await writeFile(`${world.folder}/go`, "");
    await Promise.all(jobs.map((job) => job.finished));
    expect(await runner.finish()).toBe(0);
  });

  it("JE 53: keeps the old configuration when the new one is no TOML, and says so once", async () => {
    await using world = await runnerWorld();
    await world.configure();
    const runner = world.start();
    await vi.waitFor(() => expect(runner.context.complained()).toContain("Waiting for jobs"), { timeout: 20_000 });
    await writeFile(world.configPath, "concurrent = [");
    runner.context.reload();
    await vi.waitFor(() => expect(runner.context.complained()).toContain("Failed to load config"), { timeout: 20_000 });
    expect((await world.coordinator.addJob(shellJob("echo still here")).finished).status).toBe("success");
    expect(runner.context.complained().split("Failed to load config")).toHaveLength(2);
    expect(await runner.finish()).toBe(0);
  });

  it("CP A10: renews a token that is due, writes it into the file and goes on with it", async () => {
    await using world = await runnerWorld();
    const hour = 3_600_000;
    const token = await world.configure({
      runner: `token_obtained_at = ${new Date(Date.now() - 76 * hour).toISOString()}\ntoken_expires_at = ${new Date(Date.now() + 24 * hour).toISOString()}`,
    });
    const renewed = world.server.nextRequest(({ path }) => path.endsWith("reset_authentication_token"));
    const runner = world.start();
    await renewed;
    expect((await world.coordinator.addJob(shellJob("echo with the new token")).finished).status).toBe("success");
    expect(await readFile(world.configPath, "utf8")).not.toContain(token);
    expect(runner.context.complained()).not.toContain(token);
    expect(await runner.finish()).toBe(0);
  });

  it("refuses a second run with the same configuration, naming the first one's process", async () => {
    await using world = await runnerWorld();
    await world.configure();
    const first = world.start();
    await vi.waitFor(() => expect(first.context.complained()).toContain("Waiting for jobs"), { timeout: 20_000 });
    const second = world.start();
    expect(await second.exitCode).toBe(1);
    expect(second.context.complained()).toContain(`Process ${process.pid} runs with ${world.configPath}`);
    expect((await world.coordinator.addJob(shellJob("echo first is unharmed")).finished).status).toBe("success");
    expect(await first.finish()).toBe(0);
  });

  it("names the runner whose token the coordinator refuses, without the token, and goes on", async () => {
    await using world = await runnerWorld();
    const token = await world.configure();
    await writeFile(
      world.configPath,
      (await readFile(world.configPath, "utf8")).replace(token, "glrt-wrong-token-0815"),
    );
    const runner = world.start();
    await vi.waitFor(() => expect(runner.context.complained()).toContain("403"), { timeout: 20_000 });
    expect(runner.context.complained()).not.toContain("glrt-wrong-token-0815");
    expect(await runner.finish()).toBe(0);
  });

  it("waits for a coordinator that is down and runs its jobs when it is back", async () => {
    await using world = await runnerWorld();
    await world.configure();
    const closed = createServer();
    closed.listen(0, "127.0.0.1");
    await once(closed, "listening");
    const { port } = closed.address() as AddressInfo;
    closed.close();
    await once(closed, "close");
    const upUrl = world.server.url;
    const text = await readFile(world.configPath, "utf8");
    await writeFile(world.configPath, text.replace(upUrl, `http://127.0.0.1:${port}`));
    const runner = world.start();
    await vi.waitFor(() => expect(runner.context.complained()).toMatch(/ECONNREFUSED|connect/i), { timeout: 20_000 });
    await writeFile(world.configPath, text);
    runner.context.reload();
    expect((await world.coordinator.addJob(shellJob("echo back")).finished).status).toBe("success");
    expect(await runner.finish()).toBe(0);
  });
});

describe("fleetfoot register, verify, list and unregister", () => {
  it("write a runner that run takes jobs for, and remove it again", async () => {
    await using world = await runnerWorld();
    const { token } = world.coordinator.createRunner();
    await writeFile(world.configPath, '# mine\nconcurrent = 2\nmy_own_key = "kept"\n');
    const registered = await world.command([
      "register",
      "-n",
      "-c",
      world.configPath,
      "--url",
      world.server.url,
      "--token",
      token,
      "--executor",
      "shell",
      "--name",
      "box",
    ]);
    expect(registered.complained()).toBe("");
    expect(registered.code).toBe(0);
    const text = await readFile(world.configPath, "utf8");
    expect(text).toContain('my_own_key = "kept"');
    expect(text).toContain("[[runners]]");

    const listed = await world.command(["list", "-c", world.configPath]);
    expect(listed.printed()).toContain("box  shell");
    expect(listed.printed()).not.toContain(token);
    expect((await world.command(["verify", "-c", world.configPath])).code).toBe(0);

    const runner = world.start();
    expect((await world.coordinator.addJob(shellJob("echo hi")).finished).status).toBe("success");
    await runner.finish();

    const removed = await world.command(["unregister", "-c", world.configPath, "--name", "box"]);
    expect(removed.code).toBe(0);
    const rest = await readFile(world.configPath, "utf8");
    expect(rest).not.toContain("[[runners]]");
    expect(rest).toContain('my_own_key = "kept"');
  });

  it("say that a wrong token is refused, and write nothing", async () => {
    await using world = await runnerWorld();
    const result = await world.command([
      "register",
      "-n",
      "-c",
      world.configPath,
      "--url",
      world.server.url,
      "--token",
      "glrt-wrong-token-0815",
      "--executor",
      "shell",
    ]);
    expect(result.code).toBe(1);
    expect(result.complained()).toContain("Check the token");
    expect(result.complained()).not.toContain("glrt-wrong-token-0815");
    await expect(readFile(world.configPath)).rejects.toThrow("ENOENT");
  });

  it("JE 60: verify ends with 1 for a dead runner, and with --delete removes it and ends with 0", async () => {
    await using world = await runnerWorld();
    await world.configure();
    await writeFile(
      world.configPath,
      `${await readFile(world.configPath, "utf8")}\n[[runners]]\nname = "dead"\nurl = "${world.server.url}"\ntoken = "glrt-dead-token-0815"\nexecutor = "shell"\n`,
    );
    expect((await world.command(["verify", "-c", world.configPath])).code).toBe(1);
    expect((await world.command(["verify", "--delete", "-c", world.configPath])).code).toBe(0);
    const text = await readFile(world.configPath, "utf8");
    expect(text).not.toContain("dead");
    expect(text).toContain('name = "test"');
  });

  it("name a configuration's problems, all of them", async () => {
    await using world = await runnerWorld();
    await writeFile(world.configPath, 'concurrent = "many"\n[[runners]]\nurl = 7\n');
    const result = await world.command(["list", "-c", world.configPath]);
    expect(result.code).toBe(1);
    expect(result.complained()).toContain("concurrent");
    expect(result.complained()).toContain("url");
  });

  it("refuse a configuration whose containers could not be made, with each key and what to write", async () => {
    await using world = await runnerWorld();
    await world.configure();
    const text = await readFile(world.configPath, "utf8");
    const docker = '[runners.docker]\nmemory = "512"\nshm_size = -1\nallowed_privileged_images = ["docker:*"]\n';
    await writeFile(world.configPath, text.replace('executor = "shell"', `executor = "docker"\n${docker}`));
    const result = await world.command(["run", "--config", world.configPath]);
    expect([result.code, result.complained().trim().split("\n")]).toEqual([
      1,
      [
        expect.stringMatching(
          /config\.toml: \[runners\.docker\] of the runner "test": memory: "512" is less than the 6m/,
        ),
        expect.stringMatching(/ shm_size: -1 is out of range; write a number of bytes/),
      ],
    ]);
  });
});

describe("fleetfoot run-single", () => {
  it("refuses options with which no container could be made, by their names", async () => {
    await using world = await runnerWorld();
    const words = ["run-single", "--url", world.server.url, "--token", "glrt-x", "--executor", "docker"];
    const result = await world.command([...words, "--docker-image", "x", "--docker-cpus", "two"]);
    expect([result.code, result.complained()]).toEqual([
      1,
      '--docker-cpus: "two" is no number of processors; write for example 1.5\n',
    ]);
  });

  it("ends after the jobs that it was asked for", async () => {
    await using world = await runnerWorld();
    const { token } = world.coordinator.createRunner();
    const jobs = [1, 2].map(() => world.coordinator.addJob(shellJob("echo hi")));
    const result = await world.command([
      "run-single",
      "--url",
      world.server.url,
      "--token",
      token,
      "--executor",
      "shell",
      "--max-builds",
      "1",
      "-d",
      world.folder,
    ]);
    expect(result.code).toBe(0);
    expect(jobs.map((job) => world.coordinator.job(job.id)?.status)).toEqual(["success", "pending"]);
  });

  it("ends when no job came for the time that it was told", async () => {
    await using world = await runnerWorld();
    const { token } = world.coordinator.createRunner();
    const result = await world.command([
      "run-single",
      "--url",
      world.server.url,
      "--token",
      token,
      "--executor",
      "shell",
      "--wait-timeout",
      "1",
      "-d",
      world.folder,
    ]);
    expect(result.code).toBe(0);
  });
});
