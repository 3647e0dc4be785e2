import { writeFile } from "node:fs/promises";
import { describe, expect, it, vi } from "vitest";
import { shellJob, traceMatch } from "../testing/run-helpers.ts";
import { runnerWorld, type RunnerWorld } from "../testing/running-runner.ts";

const WAITING = { timeout: 20_000 };

describe("fleetfoot run with listen_address", () => {
  it("serves what it does under the names that dashboards know", async () => {
    await using world = await runnerWorld({ traceUpdateIntervalSeconds: 1 });
    await world.configure({ top: 'concurrent = 4\nlisten_address = "127.0.0.1:0"', runner: "limit = 3" });
    const { runner, url } = await startServing(world);
    const metric = async (pattern: RegExp): Promise<string | undefined> =>
      pattern.exec(await (await fetch(`${url}/metrics`)).text())?.[0];
    expect(await metric(/^gitlab_runner_jobs\{.*state="idle".*\} 0$/m)).toContain('runner_name="test"');
    expect(await metric(/^gitlab_runner_concurrent 4$/m)).toBeDefined();
    expect(await metric(/^gitlab_runner_limit\{.*\} 3$/m)).toBeDefined();
    expect(await metric(/^gitlab_runner_version_info\{name="fleetfoot".*\} 1$/m)).toBeDefined();
    expect(await metric(/^gitlab_runner_process_state_info\{state="running"\} 1$/m)).toBeDefined();
    expect(await metric(/^process_resident_memory_bytes \d+$/m)).toBeDefined();
    expect(await metric(/^nodejs_eventloop_lag_p99_seconds \S+$/m)).toBeDefined();

    const job = world.coordinator.addJob(
      shellJob("echo at work", 'until [ -e "$CI_BUILDS_DIR/go" ]; do sleep 0.1; done', "exit 7"),
    );
    await traceMatch(world.coordinator, job.id, /\dZ 01O at work/);
    expect(await metric(/^gitlab_runner_jobs\{.*state="running",stage="step_script".*\} 1$/m)).toBeDefined();
    const list = await fetch(`${url}/debug/jobs/list`);
    expect(list.headers.get("x-list-version")).toBe("2");
    expect(await list.text()).toMatch(/^url=\S+ state=running stage=step_script executor_stage= duration=\d+s\n$/);

    world.coordinator.cancelJob(job.id);
    await job.finished;
    await vi.waitFor(
      async () => expect(await metric(/^gitlab_runner_job_duration_seconds_count\{.*\} 1$/m)).toBeDefined(),
      WAITING,
    );
    expect(await metric(/^gitlab_runner_jobs\{.*state="running",stage="step_script".*\} 0$/m)).toBeDefined();
    expect(await metric(/^gitlab_runner_jobs_total\{.*\} 1$/m)).toBeDefined();
    expect(await metric(/^gitlab_runner_failed_jobs_total\{.*failure_reason="job_canceled".*\} 1$/m)).toBeDefined();
    expect(
      await metric(/^gitlab_runner_api_request_statuses_total\{.*endpoint="request_job".*status="201".*\} 1$/m),
    ).toBeDefined();
    expect(await runner.finish()).toBe(0);
    await expect(fetch(`${url}/metrics`)).rejects.toThrow();
  });

  it("counts its warnings, and configurations that are loaded and refused", async () => {
    await using world = await runnerWorld();
    await world.configure({ top: 'concurrent = 4\nlisten_address = "127.0.0.1:0"\nsentry_dsn = "x"' });
    const { runner, url } = await startServing(world);
    const text = async (): Promise<string> => (await fetch(`${url}/metrics`)).text();
    expect(await text()).toMatch(/^gitlab_runner_errors_total\{level="warning"\} 1$/m);
    expect(await text()).toMatch(/^gitlab_runner_configuration_loaded_total 1$/m);
    await writeFile(world.configPath, "concurrent = [");
    runner.context.reload();
    await vi.waitFor(
      async () => expect(await text()).toMatch(/^gitlab_runner_configuration_loading_error_total 1$/m),
      WAITING,
    );
    expect(await text()).toMatch(/^gitlab_runner_errors_total\{level="error"\} 1$/m);
    expect(await runner.finish()).toBe(0);
  });

  it.each([
    { path: "/health/ready", method: "GET", status: 200, says: "ready" },
    { path: "/debug/process/state", method: "GET", status: 200, says: "running\n" },
    { path: "/debug/jobs/list", method: "GET", status: 200, says: "" },
    { path: "/metrics", method: "HEAD", status: 200, says: "" },
    { path: "/metrics", method: "POST", status: 405, says: "" },
    { path: "/toString", method: "GET", status: 404, says: "" },
  ])("answers $method $path with $status", async ({ path, method, status, says }) => {
    await using world = await runnerWorld();
    await world.configure();
    const { url } = await startServing(world, ["--listen-address", "127.0.0.1:0"]);
    const response = await fetch(`${url}${path}`, { method });
    expect({ status: response.status, text: await response.text() }).toEqual({ status, text: says });
  });

  it("refuses an address that is none, and one that is taken", async () => {
    await using world = await runnerWorld();
    await world.configure();
    const broken = world.start(["--listen-address", "here:there"]);
    expect(await broken.exitCode).toBe(1);
    expect(broken.context.complained()).toContain('"here:there" is no address');
    const taken = world.start(["--listen-address", new URL(world.server.url).host]);
    expect(await taken.exitCode).toBe(1);
    expect(taken.context.complained()).toContain("EADDRINUSE");
  });
});

async function startServing(
  world: RunnerWorld,
  words: readonly string[] = [],
): Promise<{ readonly runner: ReturnType<RunnerWorld["start"]>; readonly url: string }> {
  const runner = world.start(words);
  await vi.waitFor(() => expect(runner.context.complained()).toContain("Waiting for jobs"), WAITING);
  const url = /url=(http\S+)\/metrics/.exec(runner.context.complained())?.[1] ?? "";
  return { runner, url };
}
