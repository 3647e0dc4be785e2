import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { hostileRun } from "./hostile-run.ts";
import { repositoryRoot } from "./process.ts";

const CONCURRENT = 8;

describe("fleetfoot run with a coordinator in trouble", () => {
  it(
    "loses no job, runs none twice and delivers every log byte by byte, with few connections (npm run bench -- hostile: 2,000 jobs)",
    { timeout: 600_000 },
    async () => {
      const facts = await hostileRun({
        jobs: 120,
        concurrent: CONCURRENT,
        faultRatio: 0.3,
        seed: 2,
        program: ["--conditions=@fleetfoot/source", join(repositoryRoot, "apps/runner/src/main.ts")],
      });
      expect(facts).toMatchObject({ failed: [], notOnce: [], wrongLogs: [] });
      expect(facts.faults).toBeGreaterThan(120);
      // One connection for the job and one for the next request of each place, and as many that are being closed.
      expect(facts.maxSockets).toBeLessThanOrEqual(4 * CONCURRENT);
      // Less than a tenth of a megabyte for each job that has ended in between.
      expect(facts.last.heapMb - facts.first.heapMb).toBeLessThan(10);
    },
  );
});
