import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { runnerWorld } from "../testing/running-runner.ts";
import { instructions } from "./instructions.ts";

function lines(url: string): readonly string[] {
  return instructions(url, { runner: "glrt-x", registration: "GR1348941y" })
    .split("\n")
    .map((line) => line.trim());
}

describe("what a coordinator prints", () => {
  it.each(["shell", "docker"])(
    "has a line that registers a fleetfoot with the executor %s as it stands there",
    async (name) => {
      await using world = await runnerWorld();
      const { token } = world.coordinator.createRunner();
      const text = instructions(world.server.url, { runner: token, registration: "GR1348941y" });
      const line = text
        .split("\n")
        .find((found) => found.includes(`fleetfoot register`) && found.includes(`--executor ${name}`));
      const words = (line ?? "")
        .trim()
        .replace(/^fleetfoot /, "")
        .replace(/ && .*$/, "")
        .split(" ");
      const result = await world.command([...words, "-c", world.configPath]);
      expect([result.code, result.complained()]).toEqual([0, ""]);
      expect(await readFile(world.configPath, "utf8")).toContain(`executor = "${name}"`);
    },
  );

  it("gives the containers of GitLab Runner the network of this machine where the coordinator has no other address", () => {
    const network = (url: string): boolean => lines(url).some((line) => line.includes("--docker-network-mode host"));
    expect(["http://127.0.0.1:8080", "http://[::1]:8080", "http://ci.example.com"].map(network)).toEqual([
      true,
      true,
      false,
    ]);
  });
});
