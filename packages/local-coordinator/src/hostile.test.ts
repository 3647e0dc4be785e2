import type { JobPayload } from "@fleetfoot/coordinator-client";
import { createCoordinatorClient, Secret } from "@fleetfoot/coordinator-client";
import { crc32 } from "node:zlib";
import { afterEach, describe, expect, it } from "vitest";

import type { TestCoordinator } from "./testing/test-coordinator.ts";
import { createTestCoordinator } from "./testing/test-coordinator.ts";

const open: TestCoordinator[] = [];

afterEach(async () => {
  await Promise.all(open.splice(0).map((test) => test.close()));
});

describe("with the real client and every fifth request going wrong", () => {
  it("each job is confirmed once, ends once, and has a complete log", async () => {
    const jobCount = 60;
    const token = "glrt-hostile";
    const test = await createTestCoordinator({
      runners: [{ token }],
      confirmationTimeoutMs: 300,
      // A job that got lost is handed out as soon as it is free again.
      longPolling: { holdMs: 60_000, onWake: "assign" },
    });
    open.push(test);
    const { coordinator, faults, handle } = test;
    faults.addRandom({ ratio: 0.2, seed: 7 });
    const client = createCoordinatorClient({
      url: "http://localhost",
      info: { name: "hostile", version: "1.0.0", features: { two_phase_job_commit: true } },
      fetch: (request) => handle(request),
      // Waiting is the client's business and tested there.
      sleep: () => Promise.resolve(),
    });
    const added = Array.from({ length: jobCount }, (_, index) =>
      coordinator.addJob({ job_info: { name: `job ${index}` } }),
    );
    const all = Promise.all(added.map(({ finished }) => finished));
    const done = new AbortController();
    void all.then(() => done.abort());
    const confirmed: number[] = [];

    const work = async (job: JobPayload): Promise<void> => {
      const access = { id: job.id, token: new Secret(job.token) };
      let begun = await client.updateJob(access, { state: "running" });
      while (begun.outcome === "failed") begun = await client.updateJob(access, { state: "running" });
      if (begun.outcome === "abort") return;
      confirmed.push(job.id);
      const log = Buffer.from(`${job.job_info.name}\n`.repeat(2000));
      for (let offset = 0; offset < log.length;) {
        const sent = await client.patchTrace(access, { offset, bytes: log.subarray(offset, offset + 5000) });
        expect(sent.outcome).not.toBe("abort");
        offset = sent.nextOffset;
      }
      const trace = { checksum: `crc32:${crc32(log).toString(16).padStart(8, "0")}`, bytes: log.length };
      let ended = await client.updateJob(access, { state: "success", trace });
      while (ended.outcome === "failed") ended = await client.updateJob(access, { state: "success", trace });
    };
    const worker = async (): Promise<void> => {
      while (!done.signal.aborted) {
        const { job } = await client
          .requestJob({ token: new Secret(token), systemId: "s_0a1b2c3d4e5f" }, { signal: done.signal })
          .catch((error: unknown) => {
            if (done.signal.aborted) return { job: undefined };
            throw error;
          });
        if (job !== undefined) await work(job);
      }
    };
    await Promise.all([worker(), worker(), worker(), worker()]);

    const views = await all;
    expect(views.map(({ status, finalUpdate }) => [status, finalUpdate?.traceMatches])).toEqual(
      views.map(() => ["success", true]),
    );
    expect(confirmed.sort((a, b) => a - b)).toEqual(added.map(({ id }) => id));
    expect(test.requests.filter(({ fault }) => fault !== undefined).length).toBeGreaterThan(jobCount / 2);
    await client.close();
  });
});
