import { writeFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { runnerWorld } from "../testing/running-runner.ts";

describe("fleetfoot list", () => {
  it("names settings without effect beside the runners", async () => {
    await using world = await runnerWorld();
    await writeFile(
      world.configPath,
      'concurrnt = 2\n[[runners]]\nname = "box"\nurl = "https://gitlab.example.com"\ntoken = "glrt-a"\nexecutor = "shell"\nstep_runner_image = "x"\n',
    );
    const result = await world.command(["list", "-c", world.configPath]);
    expect(result.code).toBe(0);
    expect(result.printed()).toContain("box  shell");
    expect(result.complained()).toContain(`${world.configPath}: concurrnt: `);
    expect(result.complained()).toContain("runners[0].step_runner_image: step_runner_image is not supported");
  });
});
