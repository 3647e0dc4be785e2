import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sleep } from "@fleetfoot/coordinator-client/retry";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { expectGone } from "../testing/run-helpers.ts";
import { trackChildGroups } from "./child-groups.ts";
import { endLeftoverGroups, openGroupRecords } from "./group-records.ts";

const TOKEN = "glcbt-of-a-job";
const PATH = process.env["PATH"] ?? "";

let directory: string;
let warnings: string[];
const started: number[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "groups-"));
  warnings = [];
});

afterEach(async () => {
  await rm(directory, { recursive: true });
  for (const leader of started.splice(0)) {
    try {
      process.kill(-leader, "SIGKILL");
    } catch {
      // It has ended in the test.
    }
  }
});

describe("openGroupRecords", () => {
  it("notes a group from its start until it and whoever holds its output have ended", async () => {
    const groups = trackChildGroups(await openGroupRecords({ directory, logger }));
    const child = groups.spawn("sh", ["-c", "sleep 600 & echo ready; read line; exit 0"], {
      detached: true,
      env: { PATH },
      stdio: ["pipe", "pipe", "ignore"],
    });
    started.push(child.pid ?? 0);
    expect(await readdir(directory)).toEqual([String(child.pid)]);
    const exit = once(child, "exit");
    child.stdin?.end("\n");
    await exit;
    expect(await readdir(directory)).toEqual([String(child.pid)]);
    const closed = once(child, "close");
    child.stdout?.resume();
    process.kill(-(child.pid ?? 0), "SIGKILL");
    await closed;
    await expect.poll(() => readdir(directory)).toEqual([]);
  });

  it("notes no process that leads no group", async () => {
    const groups = trackChildGroups(await openGroupRecords({ directory, logger }));
    const closed = once(groups.spawn("true", [], { env: { PATH } }), "close");
    expect(await readdir(directory)).toEqual([]);
    await closed;
  });
});

describe("endLeftoverGroups", () => {
  it("asks a group to end, all of it", async () => {
    const { child, printed } = await start("trap 'echo asked; exit' TERM; sleep 600 & echo $!; wait");
    await end();
    await expectGone(child.pid ?? 0);
    await expectGone(Number(printed().split("\n")[0]));
    expect(printed()).toContain("asked");
    expect(await readdir(directory)).toEqual([]);
  });

  it("kills a group that does not want to end", async () => {
    const { child, printed } = await start("trap '' TERM; sleep 600 & echo $!; while :; do wait; done");
    await end(100);
    await expectGone(child.pid ?? 0);
    await expectGone(Number(printed().split("\n")[0]));
  });

  it("ends the other groups when one note cannot be read, and says so", async () => {
    const { child } = await start("echo ready; exec sleep 600");
    await mkdir(join(directory, "7"));
    await end();
    await expectGone(child.pid ?? 0);
    expect(await readdir(directory)).toEqual(["7"]);
    expect(warnings).toEqual([expect.stringContaining("could not be looked for")]);
  });

  it("ends what a leader that has gone has left, by the token of the job", async () => {
    const { exited, printed } = await start(`export CI_JOB_TOKEN=${TOKEN}; sleep 600 >/dev/null & echo $!; exit`);
    await exited;
    await end();
    await expectGone(Number(printed()));
  });

  it("leaves a group alone of which it is not certain, and says so", async () => {
    const { exited, printed } = await start("export CI_JOB_TOKEN=of-another; sleep 600 >/dev/null & echo $!; exit");
    await exited;
    await end();
    expect(isRunning(Number(printed()))).toBe(true);
    expect(warnings).toEqual([expect.stringContaining("not certain")]);
  });

  it("leaves alone a process that was given the number of an ended one", async () => {
    const { child } = await start("echo ready; exec sleep 600");
    const [, boot] = (await readFile(join(directory, String(child.pid)), "utf8")).split(" ");
    await writeFile(join(directory, String(child.pid)), `12345 ${boot}`);
    await end();
    expect(isRunning(child.pid ?? 0)).toBe(true);
    expect(warnings).toEqual([]);
  });

  it("leaves alone what was noted before the machine was started again", async () => {
    const { child } = await start("echo ready; exec sleep 600");
    const [time] = (await readFile(join(directory, String(child.pid)), "utf8")).split(" ");
    await writeFile(join(directory, String(child.pid)), `${time} 00000000-0000-0000-0000-000000000000\n`);
    await end();
    expect(isRunning(child.pid ?? 0)).toBe(true);
  });

  it.each([
    { name: "1", text: "1 x\n" },
    { name: "-7", text: "garbage" },
    { name: "0", text: "" },
    { name: "999999999", text: "" },
  ])("takes no notice of the note $name with $text", async ({ name, text }) => {
    await writeFile(join(directory, name), text);
    await end();
    expect(await readdir(directory)).toEqual([]);
  });
});

const logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: (message: string) => void warnings.push(message),
  error: () => undefined,
};

async function start(
  script: string,
): Promise<{ readonly child: ChildProcess; readonly exited: Promise<unknown>; readonly printed: () => string }> {
  const child = spawn("sh", ["-c", script], { detached: true, env: { PATH }, stdio: ["ignore", "pipe", "ignore"] });
  started.push(child.pid ?? 0);
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (piece: string) => {
    text += piece;
  });
  const [ready, exited] = [once(child.stdout, "data"), once(child, "exit")];
  (await openGroupRecords({ directory, logger })).add(child.pid ?? 0);
  await ready;
  return { child, exited, printed: () => text };
}

function end(graceMs = 20_000): Promise<void> {
  warnings = [];
  return endLeftoverGroups({ directory, logger, jobTokens: [TOKEN], graceMs, sleep }).then(() => {
    warnings = warnings.filter((warning) => !warning.startsWith("Ending"));
  });
}

function isRunning(processId: number): boolean {
  try {
    process.kill(processId, 0);
    return true;
  } catch {
    return false;
  }
}
