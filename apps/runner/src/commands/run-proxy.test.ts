import { join } from "node:path";
import { startSquid } from "@fleetfoot-tooling/systems";
import { describe, expect, it } from "vitest";
import { runCli } from "../cli.ts";
import { testContext } from "../testing/context.ts";
import { runnerWorld } from "../testing/running-runner.ts";

describe("the proxies of the environment", () => {
  it("lead to an instance that is not on this machine", async () => {
    await using world = await runnerWorld();
    await using squid = await startSquid();
    const context = testContext({
      environment: { http_proxy: `http://${squid.authority}` },
      workingDirectory: world.folder,
      homeDirectory: world.folder,
    });
    const words = [
      "register",
      "-c",
      world.configPath,
      "-n",
      "--url",
      "http://coordinator.invalid",
      "--token",
      "glrt-a",
    ];

    expect(await runCli([...words, "--executor", "shell"], context)).not.toBe(0);

    const url = "http://coordinator.invalid/api/v4/runners/verify";
    await expect.poll(async () => (await squid.finishedRequests()).map((request) => request.url)).toContain(url);
  });

  it("stop the command when they cannot be understood, without a word of their value", async () => {
    await using world = await runnerWorld();
    await world.configure();
    const context = testContext({
      environment: { HTTPS_PROXY: "socks4://user:secret@h:1080" },
      workingDirectory: world.folder,
      homeDirectory: world.folder,
    });

    expect(await runCli(["run", "-c", join(world.folder, "config.toml")], context)).not.toBe(0);
    expect(context.complained()).toContain("HTTPS_PROXY");
    expect(context.complained()).not.toContain("secret");
  });

  it("stop the command when Node itself would send requests for the machine's credentials to them", async () => {
    await using world = await runnerWorld();
    await world.configure();
    const context = testContext({
      environment: { HTTP_PROXY: "http://h:1", NODE_USE_ENV_PROXY: "1", NO_PROXY: "169.254.170.2" },
      workingDirectory: world.folder,
      homeDirectory: world.folder,
    });

    expect(await runCli(["run", "-c", join(world.folder, "config.toml")], context)).not.toBe(0);
    expect(context.complained()).toContain("add 169.254.169.254 to NO_PROXY");
  });
});
