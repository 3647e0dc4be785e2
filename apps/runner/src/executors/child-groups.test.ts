import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { text } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import { trackChildGroups } from "./child-groups.ts";

describe("trackChildGroups", () => {
  it("kills processes that run, with those that they have started, and takes no notice of ended ones", async () => {
    const groups = trackChildGroups();
    const ended = groups.spawn("true", [], { detached: true });
    await once(ended, "exit");
    const child = groups.spawn("sh", ["-c", "trap '' TERM; (trap '' TERM; sleep 600) & echo $!; wait"], {
      detached: true,
      stdio: ["ignore", "pipe", "inherit"],
    });
    if (child.stdout === null) throw new Error("there is no pipe");
    const [printed] = (await once(child.stdout, "data")) as [Buffer];
    const exit = once(child, "exit");
    groups.killAll();
    expect(await exit).toEqual([null, "SIGKILL"]);
    await text(child.stdout);
    const stat = async (): Promise<string> =>
      await readFile(`/proc/${Number(printed)}/stat`, "utf8").catch(() => ") Z ");
    await expect.poll(stat).toContain(") Z ");
    groups.killAll();
  });

  it("leaves alone what could not be started", async () => {
    const groups = trackChildGroups();
    const [error] = (await once(groups.spawn("/nonexistent/program", [], {}), "error")) as [NodeJS.ErrnoException];
    expect(error.code).toBe("ENOENT");
    groups.killAll();
  });
});
