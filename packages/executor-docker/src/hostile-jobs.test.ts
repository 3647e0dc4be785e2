import { PassThrough } from "node:stream";
import { importImage } from "@fleetfoot-tooling/systems";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import { beforeAll, describe, expect, it } from "vitest";
import { openHarness, release, runScript, soon } from "./test-support/harness.ts";
import { containerNames, deriveImage } from "./test-support/images.ts";

/** 20 jobs of 50 MB are a gigabyte through one engine; that is for a run by hand. */
const JOBS = Number(process.env["FLEETFOOT_LOUD_JOBS"] ?? 6);
const MEGABYTES = Number(process.env["FLEETFOOT_LOUD_MEGABYTES"] ?? 10);
const LIMIT_MS = 60_000 + JOBS * MEGABYTES * 500;
/** Of this process; all that the jobs print would be far more. */
const MOST_GROWTH_BYTES = 250_000_000;

describeWithSystem("docker-engine", (engine) => {
  beforeAll(() => importImage(engine()));
  const host = (): string => engine().dockerHost;

  describe("a hostile job", () => {
    it("whose image has an entrypoint that never ends is stopped by its signal, and its container goes", async () => {
      await deriveImage(engine(), "fleetfoot-busybox", "never-ends", ['ENTRYPOINT ["sleep", "600"]', "CMD []"]);
      await deriveImage(engine(), "fleetfoot-busybox", "never-ends", [
        `ENTRYPOINT ["sh", "-c", "trap '' TERM; echo entry; while true; do sleep 600; done"]`,
      ]);
      await using harness = await openHarness(host(), { stopGraceMs: 500, settings: { image: "never-ends" } });
      const environment = await harness.prepare();
      const stop = new AbortController();
      const stdout = new PassThrough();
      stdout.once("data", () => stop.abort(new Error("the limit of time")));
      const exit = await environment.run({ script: "echo never read\n", stdout, stderr: stdout, signal: stop.signal });
      expect(exit.code).toBe(137);
      await release(environment);
      expect(await containerNames(engine())).toEqual([]);
    });

    it("that forks without end meets the limit of processes, and the next script runs", async () => {
      await using harness = await openHarness(host(), { settings: { pidsLimit: 40 } });
      const environment = await harness.prepare();
      const { code, stderr } = await runScript(environment, "f() { f | f & wait; }; f; sleep 1; exit 9");
      expect([code === 0, /can't fork/.test(stderr)]).toEqual([false, true]);
      expect(await runScript(environment, "echo alive")).toMatchObject({ stdout: "alive\n" });
      await release(environment);
    });

    it("that fills its disk fails by its own exit code", async () => {
      await using harness = await openHarness(host(), { settings: { tmpfs: { "/small": "size=1m" } } });
      const environment = await harness.prepare();
      const result = await runScript(environment, "dd if=/dev/zero of=/small/file bs=1M count=5");
      expect(result.code).toBe(1);
      expect(result.stderr).toContain("No space left on device");
      await release(environment);
    });

    it("that prints 10 MB without a newline, or escapes of terminals, has all of it delivered as it is", async () => {
      await using harness = await openHarness(host());
      const environment = await harness.prepare();
      const { stdout } = await runScript(environment, "head -c 10485760 /dev/zero | tr '\\0' x");
      expect(stdout.length).toBe(10_485_760);
      const escapes = await runScript(environment, "printf '\\033[2J\\033]0;title\\007\\033[31m'");
      expect(escapes.stdout).toBe("\u001B[2J\u001B]0;title\u0007\u001B[31m");
      await release(environment);
    });

    it("that removes its own working directory hurts nobody but itself", async () => {
      await using harness = await openHarness(host());
      const environment = await harness.prepare();
      await environment.workspace.publish({ signal: soon() });
      await runScript(environment, "cd /builds/group/project && rm -rf /builds/* /tmp /etc");
      await environment.workspace.collect({ paths: ["out"], signal: soon() });
      await release(environment);
      const next = await harness.prepare();
      expect(await runScript(next, "echo next")).toMatchObject({ stdout: "next\n" });
      await release(next);
    });
  });

  it(
    `${JOBS} jobs at once that print ${MEGABYTES} MB each deliver every byte and their own exit codes`,
    {
      timeout: LIMIT_MS,
    },
    async ({ annotate }) => {
      await using harness = await openHarness(host());
      const before = process.memoryUsage.rss();
      let most = before;
      const results = await Promise.all(
        Array.from({ length: JOBS }, async (_, index) => {
          const environment = await harness.prepare({ concurrentProjectId: index });
          let bytes = 0;
          const stdout = new PassThrough().on("data", (piece: Buffer) => {
            bytes += piece.length;
            most = Math.max(most, process.memoryUsage.rss());
          });
          const script = `yes ${"0123456789".repeat(7)} | head -c ${MEGABYTES * 1_000_000}\nexit ${index + 1}\n`;
          const signal = new AbortController().signal;
          const { code } = await environment.run({ script, stdout, stderr: new PassThrough().resume(), signal });
          await new Promise((resolve) => {
            stdout.end(resolve);
          });
          await release(environment);
          return [code, bytes];
        }),
      );
      expect(results).toEqual(Array.from({ length: JOBS }, (_, index) => [index + 1, MEGABYTES * 1_000_000]));
      await annotate(`resident memory: ${megabytes(before)} MB before, at most ${megabytes(most)} MB`);
      expect(most - before).toBeLessThan(MOST_GROWTH_BYTES);
    },
  );
});

function megabytes(bytes: number): number {
  return Math.round(bytes / 1_000_000);
}
