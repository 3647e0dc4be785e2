import { readdir, readFile, writeFile } from "node:fs/promises";
import { describe, expect, it, vi } from "vitest";
import { expectGone, shellJob, startRun, traceMatch } from "../testing/run-helpers.ts";
import { runnerWorld } from "../testing/running-runner.ts";

const SHORT_UPDATES = { traceUpdateIntervalSeconds: 1 };

describe("fleetfoot run that is stopped", () => {
  it.each([
    { what: "stops answering", fault: { do: "hold", until: new Promise(() => {}) } as const },
    {
      what: "asks for an hour of patience",
      fault: { do: "answer", status: 429, headers: { "retry-after": "3600" } } as const,
    },
  ])(
    "ends with 1 when the time is up and the coordinator $what, which the next process tells how the job ended",
    async ({ fault }) => {
      await using world = await runnerWorld(SHORT_UPDATES);
      await world.configure({ top: "concurrent = 2\nshutdown_timeout = 1" });
      const runner = world.start();
      const { id, finished } = world.coordinator.addJob(shellJob("echo $$-is-here", "sleep 600"));
      const [shell = ""] = await traceMatch(world.coordinator, id, /\d+(?=-is-here)/);
      const arrived = Promise.withResolvers<void>();
      world.server.faults.add({ kinds: ["update-job", "patch-trace"], when: () => (arrived.resolve(), true), fault });
      const exitCode = runner.terminate();
      await arrived.promise;
      expect(await exitCode).toBe(1);
      expect(runner.context.complained()).toContain("the time is up");
      // The job itself has come to its end, too.
      expect(runner.context.complained()).toContain("The coordinator did not confirm how the job ended");
      await expectGone(Number(shell));

      world.server.faults.clear();
      const next = world.start();
      const view = await finished;
      expect(view.status).toBe("failed");
      expect(view.finalUpdate).toMatchObject({ failureReason: "runner_interrupted", traceMatches: true });
      expect(await next.finish()).toBe(0);
      expect(await readdir(world.folder)).not.toContain("config.toml.state");
    },
  );

  it("ends its process when the time is up, also while the coordinator does not answer anything", async () => {
    await using world = await runnerWorld(SHORT_UPDATES);
    await world.configure({ top: "concurrent = 2\nshutdown_timeout = 1" });
    const child = startRun(world);
    const { id } = world.coordinator.addJob(shellJob("trap '' TERM", "echo $$-is-here", "sleep 600; sleep 600"));
    const [shell = ""] = await traceMatch(world.coordinator, id, /\d+(?=-is-here)/);
    world.server.faults.add({ fault: { do: "hold", until: new Promise(() => {}) } });
    child.kill("SIGTERM");
    expect(await child.ended).toBe(1);
    expect(child.output()).toContain("the time is up");
    await expectGone(Number(shell));
  });

  it("JE 56: kills the processes of jobs that do not want to end before it exits at the second signal", async () => {
    await using world = await runnerWorld(SHORT_UPDATES);
    await world.configure();
    const child = startRun(world);
    const { id } = world.coordinator.addJob(shellJob("trap '' TERM", "echo $$-is-here", "sleep 600; sleep 600"));
    const [shell = ""] = await traceMatch(world.coordinator, id, /\d+(?=-is-here)/);
    child.kill("SIGTERM");
    await child.printed("running jobs are interrupted");
    expect(await child.killUntilEnded("SIGTERM")).toBe(1);
    expect(child.output()).toContain(
      "ended at once by a second signal (SIGTERM). 1 running job is killed and not reported; the next start reports",
    );
    await expectGone(Number(shell));
  });

  it("leaves nothing behind when all its jobs are reported", async () => {
    await using world = await runnerWorld();
    await world.configure();
    const runner = world.start();
    expect((await world.coordinator.addJob(shellJob("echo hi")).finished).status).toBe("success");
    expect(await runner.finish()).toBe(0);
    expect(await readdir(world.folder)).not.toContain("config.toml.state");
  });
});

describe("fleetfoot run whose configuration changes", () => {
  it("keeps the old one when the new one cannot be taken over", async () => {
    await using world = await runnerWorld();
    await world.configure();
    const runner = world.start();
    await vi.waitFor(() => expect(runner.context.complained()).toContain("Waiting for jobs"), { timeout: 20_000 });
    const text = await readFile(world.configPath, "utf8");
    await writeFile(world.configPath, text.replace("concurrent = 4", "concurrent = 9007199254740993"));
    runner.context.reload();
    await vi.waitFor(() => expect(runner.context.complained()).toContain("Failed to load config"), { timeout: 20_000 });
    expect((await world.coordinator.addJob(shellJob("echo still here")).finished).status).toBe("success");
    expect(await runner.finish()).toBe(0);
  });

  it("warns of settings without effect and of a runner that is there twice, at the start and when it is loaded again", async () => {
    await using world = await runnerWorld();
    await world.configure({ top: 'concurrent = 4\nsentry_dsn = "x"' });
    const runner = world.start();
    await vi.waitFor(() => expect(runner.context.complained()).toContain("Waiting for jobs"), { timeout: 20_000 });
    expect(runner.context.complained()).toContain("sentry_dsn is not supported");
    const text = await readFile(world.configPath, "utf8");
    const section = text.slice(text.indexOf("[[runners]]"));
    await writeFile(world.configPath, `${text}tokn = "x"\n${section.replace('"test"', '"twin"')}`);
    runner.context.reload();
    await vi.waitFor(() => expect(runner.context.complained()).toContain("Configuration loaded"), { timeout: 20_000 });
    expect(runner.context.complained()).toContain("tokn is not a known key");
    expect(runner.context.complained()).toMatch(/"twin" has the same url and token as "test"/);
    expect(await runner.finish()).toBe(0);
  });
});
