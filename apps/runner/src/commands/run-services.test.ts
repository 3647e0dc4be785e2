import { readFile, writeFile } from "node:fs/promises";
import { importImage } from "@fleetfoot-tooling/systems";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import { beforeAll, describe, expect, it } from "vitest";
import { runnerWorld, type RunnerWorld } from "../testing/running-runner.ts";

describeWithSystem("docker-engine", (engine) => {
  beforeAll(() => importImage(engine()));

  async function dockerWorld(runner: string): Promise<RunnerWorld> {
    const world = await runnerWorld();
    await world.configure({ runner });
    const text = (await readFile(world.configPath, "utf8")).replace('executor = "shell"', 'executor = "docker"');
    const docker = `[runners.docker]\nhost = "${engine().dockerHost}"\nimage = "fleetfoot-busybox"\npull_policy = "if-not-present"\nwait_for_services_timeout = -1\n`;
    await writeFile(world.configPath, text + docker);
    return world;
  }

  /** Runs a job beside a service that talks. @returns its log */
  async function logOf(runner: string): Promise<string> {
    await using world = await dockerWorld(runner);
    world.start();
    const view = await world.coordinator.addJob({
      variables: [
        { key: "GIT_STRATEGY", value: "none" },
        { key: "CI_DEBUG_SERVICES", value: "true" },
        { key: "PASSWORD", value: "hush-hush", masked: true, public: true },
      ],
      services: [
        {
          name: "fleetfoot-busybox",
          alias: "talker",
          command: [
            "sh",
            "-c",
            "echo one; echo $PASSWORD; printf 'of two'; echo ' parts' >&2; while :; do sleep 1; done",
          ],
        },
      ],
      steps: [{ name: "script", script: ["sleep 1; echo of the job"] }],
    }).finished;
    expect(view.status).toBe("success");
    return new TextDecoder().decode(await world.coordinator.readTrace(view.id));
  }

  describe("CI_DEBUG_SERVICES", () => {
    it("shows what services print in the job's log, by their names and masked", async () => {
      const log = await logOf("");
      expect(log).toMatch(/^\S+Z 0fO \[service:talker\] one$/m);
      expect(log).toMatch(/^\S+Z 0fO \[service:talker\] \[MASKED\]$/m);
      expect(log).toMatch(/^\S+Z 0fE \[service:talker\]  parts$/m);
      expect(log).not.toContain("hush-hush");
    });

    it("has no effect where the operator has switched it off, and that is said", async () => {
      const log = await logOf("debug_trace_disabled = true");
      expect(log).not.toContain("[service:talker]");
      expect(log).toContain("CI_DEBUG_SERVICES: usage is disabled on this Runner");
    });
  });
});
