import { Registry } from "prom-client";
import { describe, expect, it } from "vitest";

import { resetConnection, startServer } from "../test-support/recording-server.ts";
import { bytes, createTestClient, job, runner } from "../test-support/test-client.ts";
import { createCoordinatorMetrics } from "./coordinator-metrics.ts";

const METERED = { runner: "runner-se", systemId: "s_0a1b2c3d4e5f" };

/** Samples of one metric, as its exposition writes them. */
async function samples(registry: Registry, name: string): Promise<readonly string[]> {
  const text = await registry.getSingleMetricAsString(name);
  return text.split("\n").filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name}_count{`));
}

describe("createCoordinatorMetrics", () => {
  it("counts final statuses per endpoint, all attempts, and retries apart from them", async () => {
    const registry = new Registry();
    const observers = createCoordinatorMetrics({ registry }).forRunner(METERED);
    await using server = await startServer(
      { status: 429 },
      { status: 503 },
      { status: 202 },
      { status: 204 },
      resetConnection,
      { status: 429 },
    );
    await using test = createTestClient({ url: server.url, ...observers });

    await test.client.patchTrace(job, { offset: 0, bytes: bytes("x") });
    await test.client.requestJob(runner);
    await test.client.requestJob(runner);
    await test.client.updateJob(job, { state: "running" });

    const common = 'runner="runner-se",system_id="s_0a1b2c3d4e5f"';
    expect(await samples(registry, "gitlab_runner_api_request_statuses_total")).toEqual([
      `gitlab_runner_api_request_statuses_total{${common},endpoint="patch_trace",method="PATCH",status="202"} 1`,
      `gitlab_runner_api_request_statuses_total{${common},endpoint="request_job",method="POST",status="204"} 1`,
      `gitlab_runner_api_request_statuses_total{${common},endpoint="request_job",method="POST",status="-1"} 1`,
      `gitlab_runner_api_request_statuses_total{${common},endpoint="update_job",method="PUT",status="429"} 1`,
    ]);
    expect(await samples(registry, "fleetfoot_api_request_attempts_total")).toEqual([
      'fleetfoot_api_request_attempts_total{path="jobs/{id}/trace",method="PATCH",status="429"} 1',
      'fleetfoot_api_request_attempts_total{path="jobs/{id}/trace",method="PATCH",status="503"} 1',
      'fleetfoot_api_request_attempts_total{path="jobs/{id}/trace",method="PATCH",status="202"} 1',
      'fleetfoot_api_request_attempts_total{path="jobs/request",method="POST",status="204"} 1',
      'fleetfoot_api_request_attempts_total{path="jobs/request",method="POST",status="-1"} 1',
      'fleetfoot_api_request_attempts_total{path="jobs/{id}",method="PUT",status="429"} 5',
    ]);
    expect(await samples(registry, "gitlab_runner_api_request_retries_total")).toEqual([
      'gitlab_runner_api_request_retries_total{path="jobs/{id}/trace",method="PATCH"} 2',
      'gitlab_runner_api_request_retries_total{path="jobs/{id}",method="PUT"} 4',
    ]);
    const counts = await samples(registry, "gitlab_runner_api_request_duration_seconds");
    expect(counts.map((line) => line.replace(`{${common},`, "{"))).toEqual([
      'gitlab_runner_api_request_duration_seconds_count{endpoint="patch_trace",method="PATCH",status_class="2xx"} 1',
      'gitlab_runner_api_request_duration_seconds_count{endpoint="request_job",method="POST",status_class="2xx"} 1',
      'gitlab_runner_api_request_duration_seconds_count{endpoint="request_job",method="POST",status_class="none"} 1',
      'gitlab_runner_api_request_duration_seconds_count{endpoint="update_job",method="PUT",status_class="4xx"} 1',
    ]);
  });

  it("measures a call with its waits", async () => {
    const registry = new Registry();
    const observers = createCoordinatorMetrics({ registry }).forRunner(METERED);
    await using server = await startServer({ status: 429, headers: { "retry-after": "45" } }, { status: 204 });
    await using test = createTestClient({ url: server.url, ...observers });

    await test.client.requestJob(runner);

    const text = await registry.getSingleMetricAsString("gitlab_runner_api_request_duration_seconds");
    expect(text).toMatch(/_sum\{.*endpoint="request_job".*\} 45\n/);
  });

  it("counts the clients of several runners side by side", async () => {
    const registry = new Registry();
    const metrics = createCoordinatorMetrics({ registry });
    await using server = await startServer({ status: 204 });
    for (const name of ["one", "two", "two"]) {
      await using test = createTestClient({ url: server.url, ...metrics.forRunner({ ...METERED, runner: name }) });
      await test.client.requestJob(runner);
    }

    const lines = await samples(registry, "gitlab_runner_api_request_statuses_total");
    expect(lines.map((line) => line.replace(/\{runner="(\w+)".*\}/, " $1"))).toEqual([
      "gitlab_runner_api_request_statuses_total one 1",
      "gitlab_runner_api_request_statuses_total two 2",
    ]);
  });

  it("counts an unusable URL as a call without an attempt, and an aborted one not at all", async () => {
    const registry = new Registry();
    const observers = createCoordinatorMetrics({ registry }).forRunner(METERED);
    await using broken = createTestClient({ url: "ftp://h", ...observers });
    await broken.client.requestJob(runner);
    const controller = new AbortController();
    await using server = await startServer(() => controller.abort("enough"));
    await using test = createTestClient({ url: server.url, ...observers });
    await expect(test.client.requestJob(runner, { signal: controller.signal })).rejects.toBe("enough");

    expect(await samples(registry, "fleetfoot_api_request_attempts_total")).toEqual([]);
    expect(await samples(registry, "gitlab_runner_api_request_statuses_total")).toEqual([
      expect.stringContaining('endpoint="request_job",method="POST",status="-100"'),
    ]);
  });
});
