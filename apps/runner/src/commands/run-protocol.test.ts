import { readFile } from "node:fs/promises";
import { describe, expect, it, vi } from "vitest";
import { runnerWorld } from "../testing/running-runner.ts";

const VARIABLES = [
  { key: "GIT_STRATEGY", value: "none", public: true },
  { key: "FF_TIMESTAMPS", value: "false", public: true },
] as const;

describe("a runner and a coordinator of our own, by the protocol", () => {
  it("CP A62: register, run the minimal job, unregister: all calls in order, job success, log with hi, checksum matches", async () => {
    await using world = await runnerWorld();
    const { coordinator, server, configPath } = world;
    const { token } = coordinator.createRunner();
    const words = ["--non-interactive", "--config", configPath, "--url", server.url, "--token", token];
    expect((await world.command(["register", ...words, "--name", "t", "--executor", "shell"])).code).toBe(0);
    const runner = world.start();
    const steps = [{ name: "script", script: ["echo hi"], timeout: 600, when: "on_success", allow_failure: false }];
    const job = await coordinator.addJob({ job_info: { name: "hello", stage: "test" }, variables: VARIABLES, steps })
      .finished;
    expect(await runner.finish()).toBe(0);
    expect((await world.command(["unregister", "--config", configPath, "--all-runners"])).code).toBe(0);
    expect(job).toMatchObject({ status: "success", finalUpdate: { traceMatches: true } });
    expect(Buffer.from(await coordinator.readTrace(job.id)).toString()).toContain("\nhi\n");
    const calls = server.requests
      .filter(({ kind, status }) => kind !== "request-job" || status === 201)
      .map(({ method, path, status }) => `${method} ${path.replace("/api/v4/", "")} ${status}`);
    // How many pieces a log comes in depends on the time that the job takes.
    expect(calls.filter((call, at) => call !== calls[at - 1])).toEqual([
      "POST runners/verify 200",
      "POST jobs/request 201",
      "PUT jobs/1 200",
      "PATCH jobs/1/trace 202",
      "PUT jobs/1 200",
      "DELETE runners/managers 204",
    ]);
    expect(await readFile(configPath, "utf8")).not.toContain(token);
  }, 60_000);

  it("CP A68: cancelled mid-script: the runner reports failed, the job is canceled, after_script's output is there", async () => {
    await using world = await runnerWorld({ traceUpdateIntervalSeconds: 1 });
    await world.configure();
    const runner = world.start();
    const { id, finished } = world.coordinator.addJob({
      variables: VARIABLES,
      steps: [
        { name: "script", script: ["echo begun", "sleep 600", "echo never"] },
        { name: "after_script", script: ['echo "after the end: $CI_JOB_STATUS"'], when: "always" },
      ],
    });
    await vi.waitFor(
      async () => expect(Buffer.from(await world.coordinator.readTrace(id)).toString()).toContain("\nbegun\n"),
      { timeout: 30_000 },
    );
    expect(world.coordinator.cancelJob(id)).toBe(true);
    expect(world.coordinator.job(id)?.status).toBe("canceling");
    const job = await finished;
    expect(job).toMatchObject({ status: "canceled", finalUpdate: { state: "failed", traceMatches: true } });
    const log = Buffer.from(await world.coordinator.readTrace(id)).toString();
    expect(log).toContain("after the end: canceled\n");
    expect(log).not.toContain("\nnever\n");
    expect(await runner.finish()).toBe(0);
  }, 60_000);

  it("CP A69: 416 once after a part of the stored log was lost: the final log is the whole log, checksum matches", async () => {
    await using world = await runnerWorld({ traceUpdateIntervalSeconds: 1 });
    await world.configure();
    const { faults, requests } = world.server;
    faults.add({ kinds: ["patch-trace"], nth: [2], fault: { do: "truncate-trace", bytes: 40 } });
    const runner = world.start();
    const { id, finished } = world.coordinator.addJob({
      variables: VARIABLES,
      steps: [{ name: "script", script: ['for i in $(seq 30); do echo "line $i of the log"; sleep 0.1; done'] }],
    });
    const job = await finished;
    expect(job).toMatchObject({ status: "success", finalUpdate: { traceMatches: true } });
    const log = Buffer.from(await world.coordinator.readTrace(id)).toString();
    expect(log.match(/^line \d+ of the log$/gm)).toEqual(
      Array.from({ length: 30 }, (_, index) => `line ${index + 1} of the log`),
    );
    expect(requests.filter(({ status }) => status === 416)).toHaveLength(1);
    expect(await runner.finish()).toBe(0);
  }, 60_000);
});
