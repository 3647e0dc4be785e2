import { PassThrough } from "node:stream";
import { importImage, startDockerEngine } from "@fleetfoot-tooling/systems";
import type { DockerEngine } from "@fleetfoot-tooling/systems";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import { beforeAll, describe, expect, it } from "vitest";
import { EngineRestartedError } from "./errors.ts";
import { openHarness, release } from "./test-support/harness.ts";
import type { DockerExit } from "./types.ts";

/** Restarts the engine when the script has printed its tenth line. */
async function runThroughRestart(engine: DockerEngine, script: string): Promise<{ exit: DockerExit; text: string }> {
  await using harness = await openHarness(engine.dockerHost);
  const environment = await harness.prepare();
  const stdout = new PassThrough();
  let text = "";
  let restarting: Promise<void> | undefined;
  stdout.setEncoding("utf8").on("data", (piece: string) => {
    text += piece;
    if (text.includes("line 10\n")) restarting ??= engine.restart();
  });
  const signal = AbortSignal.timeout(55_000);
  try {
    const exit = await environment.run({ script, stdout, stderr: new PassThrough().resume(), signal });
    return { exit, text };
  } finally {
    await restarting;
    await release(environment);
  }
}

const script = (lines: number): string =>
  `i=0; while [ $i -lt ${lines} ]; do i=$((i+1)); echo line $i; sleep 0.1; done; printf end; exit 3\n`;

describeWithSystem(
  "docker-engine",
  (engine) => {
    beforeAll(() => importImage(engine()));

    describe("an engine with live-restore that is restarted in the middle of a job", () => {
      it("lets the job go on: every line of it once, and its exit code", async () => {
        const { exit, text } = await runThroughRestart(engine(), script(100));
        expect(exit.code).toBe(3);
        expect(text).toBe(`${Array.from({ length: 100 }, (_, index) => `line ${index + 1}\n`).join("")}end`);
      });
    });
  },
  () => startDockerEngine({ configuration: { "live-restore": true } }),
);

describeWithSystem("docker-engine", (engine) => {
  beforeAll(() => importImage(engine()));

  describe("an engine that is restarted in the middle of a job and takes its containers with it", () => {
    it("fails the job with a failure of the system that says so, and not with an exit code", async () => {
      const failure = await runThroughRestart(engine(), script(10_000)).catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(EngineRestartedError);
      expect(failure).toMatchObject({ failureReason: "runner_system_failure", retryable: false });
    });
  });
});
