import { describe, expect, it } from "vitest";
import { cacheCommands } from "./cache-commands.ts";
import { runCli } from "./cli.ts";
import { commands } from "./commands.ts";
import { mainCommands } from "./help.ts";
import { testContext } from "./testing/context.ts";

describe("fleetfoot", () => {
  it("explains itself to a newcomer", async () => {
    const context = testContext();
    expect(await runCli(["--help"], context)).toBe(0);
    expect(context.printed()).toContain("fleetfoot exec");
    for (const command of mainCommands(commands)) expect(context.printed()).toContain(command.summary);
  });

  it("lists the commands of a group where the group is explained", async () => {
    const context = testContext();
    expect(await runCli(["cache", "--help"], context)).toBe(0);
    for (const { name, summary } of cacheCommands) expect(context.printed()).toMatch(new RegExp(`${name} +${summary}`));
    expect(await runCli(["cache", "remove"], context)).toBe(1);
    expect(context.complained()).toContain('fleetfoot cache has no "remove"');
  });

  it.each(commands.map((command) => [command.name, command] as const))(
    "explains %s with every option",
    async (name, command) => {
      const context = testContext();
      expect(await runCli([...name.split(" "), "--help"], context)).toBe(0);
      for (const [option, { help }] of Object.entries(command.options)) {
        expect(context.printed()).toContain(`--${option}`);
        expect(context.printed()).toContain(help);
      }
    },
  );

  it("names the commands when one is unknown", async () => {
    const context = testContext();
    expect(await runCli(["execute"], context)).toBe(1);
    expect(context.complained()).toContain('no command "execute"');
    expect(context.complained()).toContain("exec, coordinator, run");
  });

  it("names the option that is unknown and where they are listed", async () => {
    const context = testContext();
    expect(await runCli(["exec", "--lst"], context)).toBe(1);
    expect(context.complained()).toContain("--lst");
    expect(context.complained()).toContain("fleetfoot exec --help");
  });

  it("refuses a secret that the environment does not have, without a value to show", async () => {
    const context = testContext();
    expect(await runCli(["exec", "--secret", "MISSING"], context)).toBe(1);
    expect(context.complained()).toContain("no variable MISSING");
  });

  it("does not show what follows a name that is none: it may be the secret", async () => {
    const context = testContext();
    expect(await runCli(["exec", "--secret", "my key=hunter22"], context)).toBe(1);
    expect(context.complained()).not.toContain("hunter22");
  });

  it("prints its version", async () => {
    const context = testContext();
    expect(await runCli(["--version"], context)).toBe(0);
    expect(context.printed()).toMatch(/^fleetfoot \d+\.\d+\.\d+\n$/);
  });
});
