import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { noopLogger, Secret, type UpdateJobResult } from "@fleetfoot/coordinator-client";
import { openUnfinishedJobs, type UnfinishedJob, type UnfinishedJobs } from "@fleetfoot/job-runner";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { finishLeftovers, type LeftoverAccess, type LeftoverFinisher } from "./finish-leftovers.ts";

let root: string;
let jobs: UnfinishedJobs;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "leftovers-"));
  jobs = await openUnfinishedJobs({
    directory: join(root, "jobs"),
    asideDirectory: join(root, "aside"),
    systemId: "s_0123456789ab",
  });
});

afterEach(async () => {
  await rm(root, { recursive: true });
});

describe("finishLeftovers", () => {
  it("tries again after a pause what could not be told, also of this process", async () => {
    const told: string[] = [];
    let isDown = true;
    const pauses: (() => void)[] = [];
    const finisher = start([await record(1)], {
      update: (id, state) => {
        told.push(`${id} ${state}`);
        return isDown && state !== "running" ? { outcome: "failed", status: -1 } : {};
      },
      sleep: (resume) => pauses.push(resume),
    });
    await expect.poll(() => pauses.length).toBe(1);
    expect(told).toEqual(["1 running", "1 success"]);
    await (await record(2)).release();
    isDown = false;
    pauses[0]?.();
    await expect.poll(() => pauses.length).toBe(2);
    expect(told.slice(2).toSorted()).toEqual(["1 running", "1 success", "2 running", "2 success"]);
    await finisher.end();
    expect(await readdir(join(root, "jobs"))).toEqual([]);
  });

  it("tells four at a time, and lets go of every connection", async () => {
    let open = 0;
    let most = 0;
    const leftovers = await Promise.all(Array.from({ length: 10 }, (_, index) => record(index + 1)));
    const pauses: (() => void)[] = [];
    const finisher = start(leftovers, {
      update: () => ({}),
      sleep: (resume) => pauses.push(resume),
      onReach: () => {
        open += 1;
        most = Math.max(most, open);
      },
      onRelease: () => {
        open -= 1;
      },
    });
    await expect.poll(() => pauses.length).toBe(1);
    expect({ open, most }).toEqual({ open: 0, most: 4 });
    await finisher.end();
  });

  it("tries again later, too, where there is no way to the coordinator, and tells the others", async () => {
    const told: string[] = [];
    let reached = 0;
    const pauses: (() => void)[] = [];
    const finisher = start([await record(1), await record(2)], {
      update: (id, state) => {
        told.push(`${id} ${state}`);
        return {};
      },
      sleep: (resume) => pauses.push(resume),
      onReach: () => {
        reached += 1;
        if (reached === 1) throw new Error("no such way");
      },
    });
    await expect.poll(() => pauses.length).toBe(1);
    expect(told).toEqual(["2 running", "2 success"]);
    pauses[0]?.();
    await expect.poll(() => pauses.length).toBe(2);
    expect(told.slice(2)).toEqual(["1 running", "1 success"]);
    await finisher.end();
  });

  it("leaves what it has not begun to a later process when it is ended", async () => {
    const leftovers = await Promise.all(Array.from({ length: 10 }, (_, index) => record(index + 1)));
    const finisher = start(leftovers, { update: () => ({ outcome: "failed", status: -1 }), sleep: () => undefined });
    await finisher.end();
    await finisher.end();
    expect((await jobs.takeOver()).map(({ facts }) => facts.id).toSorted((a, b) => a - b)).toEqual(
      leftovers.map(({ facts }) => facts.id),
    );
  });
});

async function record(id: number): Promise<UnfinishedJob> {
  const job = await jobs.begin({
    id,
    token: new Secret(`glcbt-${id}`),
    url: "http://127.0.0.1",
    systemId: "s_0123456789ab",
    debugTrace: false,
    timestamps: false,
    outputLimitBytes: 1000,
    temporaryDirectory: join(root, "p.tmp"),
  });
  await job.conclude({ state: "success" });
  return job;
}

/** Pauses of minutes go to `sleep`; the short grace of an end is over at once. */
function start(
  leftovers: readonly UnfinishedJob[],
  given: {
    readonly update: (id: number, state: string) => Partial<UpdateJobResult>;
    readonly sleep: (resume: () => void) => void;
    readonly onReach?: () => void;
    readonly onRelease?: () => void;
  },
): LeftoverFinisher {
  const facts = { status: 200, attempts: 1, throttled: false, requestId: "", message: "", cancelRequested: false };
  const access: LeftoverAccess = {
    client: {
      updateJob: async ({ id }, { state }) => ({
        ...facts,
        updateIntervalMs: undefined,
        outcome: "succeeded",
        ...given.update(id, state),
      }),
      patchTrace: () => Promise.reject(new Error("there is no log")),
    },
    reporting: { maxFinalRounds: 1 },
    release: () => given.onRelease?.(),
  };
  return finishLeftovers({
    unfinishedJobs: jobs,
    leftovers,
    reach: () => {
      given.onReach?.();
      return access;
    },
    logger: noopLogger,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (ms < 60_000) {
          resolve();
          return;
        }
        const onAbort = (): void => reject(signal.reason as Error);
        if (signal.aborted) onAbort();
        else signal.addEventListener("abort", onAbort, { once: true });
        given.sleep(resolve);
      }),
  });
}
