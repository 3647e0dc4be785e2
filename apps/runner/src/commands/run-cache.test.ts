import { rm } from "node:fs/promises";
import { join } from "node:path";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import type { JobView, NewJob } from "@fleetfoot/local-coordinator";
import { describe, expect, it } from "vitest";
import { shellJob } from "../testing/run-helpers.ts";
import { type RunnerWorld, runnerWorld } from "../testing/running-runner.ts";

const cache = {
  key: "deps",
  untracked: false,
  paths: ["deps/"],
  policy: "pull-push",
  when: "always",
  fallback_keys: [],
};

function cachedJob(...script: readonly string[]): NewJob {
  return { ...shellJob(...script), cache: [cache] };
}

const saves = cachedJob("[ ! -e deps ]", "mkdir deps", "echo from-the-first-job >deps/file");
const restores = cachedJob("cat deps/file");

/** Runs a job that fills a cache, takes everything from this host that it left, and runs one that needs it. */
async function runBoth(world: RunnerWorld): Promise<readonly [JobView, string]> {
  const first = await world.coordinator.addJob(saves).finished;
  expect([first.status, await traceOf(world, first)]).toEqual(["success", expect.any(String)]);
  for (const folder of ["cache", "builds"]) await rm(join(world.folder, folder), { recursive: true, force: true });
  const second = await world.coordinator.addJob(restores).finished;
  return [second, await traceOf(world, second)];
}

async function traceOf({ coordinator }: RunnerWorld, { id }: JobView): Promise<string> {
  return new TextDecoder().decode(await coordinator.readTrace(id));
}

describeWithSystem("minio", (minio) => {
  describe("fleetfoot run with caches in S3", () => {
    it("restores on another host what a job saved, by the section that operators have, under GitLab's name", async () => {
      await using world = await runnerWorld();
      const { endpoint, accessKeyId, secretAccessKey, createBucket, request } = minio();
      await createBucket("runner-caches");
      await world.configure({
        runner: `[runners.cache]
Type = "s3"
Path = "prefix"
Shared = true
[runners.cache.s3]
ServerAddress = "${new URL(endpoint).host}"
Insecure = true
AccessKey = "${accessKeyId}"
SecretKey = "${secretAccessKey}"
BucketName = "runner-caches"`,
      });
      const runner = world.start();
      const [job, trace] = await runBoth(world);
      expect([job.status, trace]).toEqual(["success", expect.stringContaining("from-the-first-job")]);
      expect(trace).toContain("downloaded from s3");
      const head = await request({ method: "HEAD", path: "/runner-caches/prefix/project/1/deps" });
      expect([head.status, head.headers.get("x-amz-meta-cachekey")]).toEqual([200, "deps"]);
      expect(await runner.finish()).toBe(0);
      expect(runner.context.complained()).not.toContain(secretAccessKey);
    });
  });
});

describeWithSystem("azurite", (azurite) => {
  describe("fleetfoot run with a store that cannot be reached", () => {
    it("runs jobs without their caches, and says why in their logs", async () => {
      await using world = await runnerWorld();
      await world.configure({
        runner: `[runners.cache]\nType = "azure"\n[runners.cache.azure]\nAccountName = "${azurite().accountName}"\nAccountKey = "${azurite().accountKey}"\nContainerName = "caches"\nStorageDomain = "localhost:1"`,
      });
      const runner = world.start();
      const job = await world.coordinator.addJob(cachedJob("echo runs")).finished;
      expect([job.status, await traceOf(world, job)]).toEqual(["success", expect.stringContaining("azure")]);
      expect(await runner.finish()).toBe(0);
    });
  });
});

describe("fleetfoot run with a cache section that is wrong", () => {
  it.each([
    { runner: '[runners.cache]\nType = "swift"', says: 'cache type "swift" is not one of local, s3, gcs, azure' },
    { runner: '[runners.cache]\nType = "s3"', says: "no [runners.cache.s3]" },
    { runner: '[runners.cache]\nType = "gcs"\n[runners.cache.gcs]', says: "needs the name of a bucket" },
    { runner: '[runners.cache]\nType = "azure"\n[runners.cache.azure]', says: "needs the names of an account" },
  ])("runs jobs with caches of this host and says: $says", async ({ runner: section, says }) => {
    await using world = await runnerWorld();
    await world.configure({ runner: section });
    const runner = world.start();
    expect((await world.coordinator.addJob(saves).finished).status).toBe("success");
    await rm(join(world.folder, "builds"), { recursive: true });
    expect((await world.coordinator.addJob(restores).finished).status).toBe("success");
    // Stores are opened before the first job is asked for: no library is loaded while jobs run.
    expect(runner.context.complained().split("Waiting for jobs")[0]).toContain(says);
    expect(runner.context.complained().split(says)).toHaveLength(2);
    expect(await runner.finish()).toBe(0);
  });
});
