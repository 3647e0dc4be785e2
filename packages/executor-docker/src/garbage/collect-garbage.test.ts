import { importImage, startRegistry } from "@fleetfoot-tooling/systems";
import type { DockerEngine, Registry } from "@fleetfoot-tooling/systems";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import { beforeAll, describe, expect, it } from "vitest";
import { openHarness, release, runScript, SYSTEM_ID } from "../test-support/harness.ts";
import type { Harness } from "../test-support/harness.ts";
import { deriveImage, volumeNames } from "../test-support/images.ts";
import type { DockerEnvironment, DockerExecutorOptions } from "../types.ts";

const DAY_MS = 86_400_000;
const MEGABYTE = 1_000_000;

describeWithSystem("docker-engine", (engine) => {
  beforeAll(() => importImage(engine()));

  const signal = new AbortController().signal;

  /** An executor whose clock is this object's. */
  async function openWithClock(
    options: Partial<DockerExecutorOptions> = {},
  ): Promise<{ readonly harness: Harness; nowMs: number }> {
    const clock = { nowMs: Date.now() };
    const harness = await openHarness(engine().dockerHost, {
      workspace: "archive",
      ...options,
      now: () => clock.nowMs,
      settings: { garbageCollection: true, volumes: ["/cache"], ...options.settings },
    });
    return Object.assign(clock, { harness });
  }

  /** Runs a job that leaves so many bytes in the kept volume of its slot. */
  async function runJob(harness: Harness, slot: number, bytes = 0, image = "fleetfoot-busybox"): Promise<void> {
    const environment = await harness.prepare({ concurrentProjectId: slot, job: { image: { name: image } } });
    expect(await runScript(environment, `head -c ${bytes} /dev/zero > /cache/file`)).toMatchObject({ code: 0 });
    await release(environment);
  }

  async function removeVolumes(): Promise<void> {
    for (const name of await volumeNames(engine()))
      await engine().request({ method: "DELETE", path: `/volumes/${name}` });
  }

  describe("garbage collection of volumes", () => {
    it("removes none unless it is wanted", async () => {
      const world = await openWithClock({ settings: { garbageCollection: false } });
      await using harness = world.harness;
      await runJob(harness, 0);
      world.nowMs += 1_000 * DAY_MS;
      expect(await harness.executor.collectGarbage({ signal })).toEqual({ volumes: 0, images: 0, bytes: 0 });
      expect(await volumeNames(engine())).toHaveLength(1);
      await removeVolumes();
    });

    it("removes those that no job used for long, and none of other runners, of running jobs or of nobody", async () => {
      const world = await openWithClock({ settings: { garbageCollectionMaxAgeDays: 10 } });
      await using harness = world.harness;
      const other = await openWithClock({
        runner: { token: { reveal: () => "glrt-other" }, shortToken: "other", systemId: SYSTEM_ID },
      });
      await using foreign = other.harness;
      await engine().request({ method: "POST", path: "/volumes/create", body: { Name: "of-nobody" } });
      await runJob(foreign, 0);
      const kept = new Set(await volumeNames(engine()));
      await runJob(harness, 0, MEGABYTE);
      const running = await harness.prepare({ concurrentProjectId: 1 });
      world.nowMs += 9 * DAY_MS;
      await runJob(harness, 2);
      world.nowMs += 2 * DAY_MS;
      const result = await harness.executor.collectGarbage({ signal });
      expect(result).toMatchObject({ volumes: 1, images: 0 });
      expect(result.bytes).toBeGreaterThanOrEqual(MEGABYTE);
      expect(await runScript(running, "touch /cache/x && echo still there")).toMatchObject({ stdout: "still there\n" });
      await release(running);
      const after = await volumeNames(engine());
      expect(after).toEqual(expect.arrayContaining([...kept]));
      // Of its own three the one of the running job and the young one; the archive's own volume went with its job.
      expect(after.filter((name) => !kept.has(name))).toHaveLength(2);
      await removeVolumes();
    });

    it("removes the longest unused ones until the rest is small enough", async () => {
      const world = await openWithClock({ settings: { garbageCollectionMaxSize: "5m" } });
      await using harness = world.harness;
      for (const slot of [0, 1, 2]) {
        await runJob(harness, slot, 2 * MEGABYTE);
        world.nowMs += 1_000;
      }
      // The first is the last that was used.
      await runJob(harness, 0, 2 * MEGABYTE);
      expect(await harness.executor.collectGarbage({ signal })).toMatchObject({ volumes: 1 });
      expect(await volumeNames(engine())).toHaveLength(2);
      const first = await harness.prepare({ concurrentProjectId: 0 });
      expect(await runScript(first, "ls /cache")).toMatchObject({ stdout: "file\n" });
      await release(first);
      await removeVolumes();
    });
  });

  describe("garbage collection of images", () => {
    it("removes those that it pulled and nobody uses, and none that was there, is tagged by somebody or has a container", async () => {
      await using registry = await startRegistry({ host: engine().hostAddress });
      const names = ["unused", "tagged", "running", "contained", "moved"];
      for (const name of names) await publish(engine(), registry, name, name);
      const world = await openWithClock({ settings: { volumes: [], pullPolicy: ["always"] } });
      await using harness = world.harness;
      const own = (name: string): string => `${registry.authority}/${name}`;
      const prepare = (name: string): Promise<DockerEnvironment> =>
        harness.prepare({ job: { image: { name: own(name) } } });
      for (const name of names) await release(await prepare(name));
      // The tag names another image now, and the old one has no name left.
      await publish(engine(), registry, "moved", "moved again");
      await release(await prepare("moved"));
      await engine().request({ method: "POST", path: `/images/${own("tagged")}/tag?repo=keep/mine` });
      const container = await engine().request({
        method: "POST",
        path: "/containers/create?name=of-somebody",
        body: { Image: own("contained"), Cmd: ["true"] },
      });
      expect(container.status).toBe(201);
      const running = await prepare("running");
      world.nowMs += 15 * DAY_MS;
      const result = await harness.executor.collectGarbage({ signal });
      expect(result).toMatchObject({ volumes: 0, images: 3 });
      const listed = await engine().request({ method: "GET", path: "/images/json" });
      expect(listed.text).not.toContain(own("unused"));
      expect(listed.text).not.toContain(own("moved"));
      for (const name of ["tagged", "running", "contained"]) expect(listed.text).toContain(own(name));
      expect(listed.text).toContain("fleetfoot-busybox:latest");
      expect(listed.text).not.toContain("<none>");
      await release(running);
      await engine().request({ method: "DELETE", path: "/containers/of-somebody" });
      expect(await harness.executor.collectGarbage({ signal })).toMatchObject({ images: 2 });
    });
  });
});

/** Puts an image with a label of its own into a registry, and leaves none on the engine. */
async function publish(engine: DockerEngine, registry: Registry, name: string, label: string): Promise<void> {
  const repository = `${registry.authority}/${name}`;
  await deriveImage(engine, "fleetfoot-busybox", repository, [`LABEL own="${label}"`]);
  const headers = { "x-registry-auth": Buffer.from("{}").toString("base64") };
  const push = await engine.request({ method: "POST", path: `/images/${repository}/push?tag=latest`, headers });
  expect(push.text).toContain("digest: sha256:");
  await engine.request({ method: "DELETE", path: `/images/${repository}:latest` });
}
