import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import { expectGone, shellJob, startRun, traceMatch } from "../testing/run-helpers.ts";
import { runnerWorld } from "../testing/running-runner.ts";

const SHORT_UPDATES = { traceUpdateIntervalSeconds: 1 };
const WAITING = { timeout: 20_000 };
const NEVER = new Promise<never>(() => undefined);

describe("fleetfoot run that is killed", () => {
  it("has its next start deliver the result that it was about to send, with all of the log", async () => {
    await using world = await runnerWorld(SHORT_UPDATES);
    await world.configure();
    const first = startRun(world);
    const { arrived, stop } = holdResult(world.server.faults);
    const job = world.coordinator.addJob(shellJob("echo all of it", "exit 7"));
    await arrived;
    first.kill("SIGKILL");
    expect(await first.ended).toBe("SIGKILL");
    stop();
    expect(world.coordinator.job(job.id)?.status).toBe("running");

    const second = world.start();
    const view = await job.finished;
    expect(view).toMatchObject({
      status: "failed",
      failureReason: "script_failure",
      exitCode: 7,
      finalUpdate: { state: "failed", exitCode: 7, traceMatches: true },
    });
    expect(await textOf(world, job.id)).toContain("Job failed: exit status 7");
    expect(await second.finish()).toBe(0);
    expect(await readdir(world.folder)).not.toContain("config.toml.state");
  });

  it("has its next start fail the job that ran, keep its log, and end its processes", async () => {
    await using world = await runnerWorld(SHORT_UPDATES);
    await world.configure();
    const first = startRun(world);
    const job = world.coordinator.addJob({
      ...shellJob(
        "echo $$-is-here $KEY",
        "for i in $(seq 2000); do echo line-$i-; done",
        "sleep 600 & echo $!-sleeps; wait",
      ),
      variables: [
        { key: "GIT_STRATEGY", value: "none" },
        { key: "KEY", value: "in a file", file: true },
      ],
    });
    const [shell = ""] = await traceMatch(world.coordinator, job.id, /\d+(?=-is-here)/);
    const [sleeper = ""] = await traceMatch(world.coordinator, job.id, /\d+(?=-sleeps)/);
    const [, temporary = ""] = await traceMatch(world.coordinator, job.id, /(\/\S+\.tmp)\/KEY/);
    expect(await readdir(temporary)).toContain("KEY");
    first.kill("SIGKILL");
    expect(await first.ended).toBe("SIGKILL");
    expect(await readFile(`/proc/${sleeper}/stat`, "utf8")).not.toContain(") Z ");

    const second = world.start();
    const view = await job.finished;
    expect(view).toMatchObject({
      status: "failed",
      failureReason: "runner_system_failure",
      finalUpdate: { traceMatches: true },
    });
    const text = await textOf(world, job.id);
    for (let line = 1; line <= 2000; line += 1) expect(text).toContain(`line-${line}-`);
    expect(text).toContain("Job failed (system failure): the runner was killed while the job ran");
    await expectGone(Number(shell));
    await expectGone(Number(sleeper));
    await expect(readdir(temporary)).rejects.toThrow("ENOENT");
    expect((await world.coordinator.addJob(shellJob("echo works again")).finished).status).toBe("success");
    expect(await second.finish()).toBe(0);
    expect(await readdir(world.folder)).not.toContain("config.toml.state");
  });

  it("is not called to account twice: a job that was reported after all is forgotten", async () => {
    await using world = await runnerWorld(SHORT_UPDATES);
    await world.configure();
    const first = startRun(world);
    let updates = 0;
    world.server.faults.add({
      kinds: ["update-job"],
      when: () => ++updates === 2,
      // The coordinator knows the result, but its runner does not know that.
      fault: { do: "call", at: "after", call: () => (first.kill("SIGKILL"), NEVER) },
    });
    const job = world.coordinator.addJob(shellJob("echo once"));
    expect((await job.finished).status).toBe("success");
    expect(await first.ended).toBe("SIGKILL");

    const second = world.start();
    await vi.waitFor(() => expect(second.context.complained()).toContain("does not want to hear"), WAITING);
    expect(world.coordinator.job(job.id)?.status).toBe("success");
    expect(await second.finish()).toBe(0);
    expect(await readdir(world.folder)).not.toContain("config.toml.state");
  });

  it("delivers later what a coordinator that is down cannot be told at the start, and takes jobs meanwhile", async () => {
    await using world = await runnerWorld(SHORT_UPDATES);
    await world.configure();
    const first = startRun(world);
    const { arrived, stop } = holdResult(world.server.faults);
    const job = world.coordinator.addJob(shellJob("echo late"));
    await arrived;
    first.kill("SIGKILL");
    await first.ended;
    stop();
    const end = world.server.faults.add({
      when: ({ id }) => id === job.id,
      fault: { do: "answer", status: 503, headers: { "retry-after": "1" } },
    });
    const second = world.start();
    expect((await world.coordinator.addJob(shellJob("echo meanwhile")).finished).status).toBe("success");
    expect(world.coordinator.job(job.id)?.status).toBe("running");
    end();
    expect((await job.finished).status).toBe("success");
    expect(await second.finish()).toBe(0);
  });
});

describe("fleetfoot run that finds records of jobs which it cannot use", () => {
  it("puts them aside, says so, and starts", async () => {
    await using world = await runnerWorld();
    await world.configure();
    const state = `${world.configPath}.state`;
    const records: Readonly<Record<string, string>> = {
      "1-torn": '{"version":1,"id":1,"token":"glcbt-very-secret',
      "2-later": '{"version":99,"id":2,"token":"glcbt-very-secret"}',
    };
    for (const [name, text] of Object.entries(records)) {
      await mkdir(join(state, "jobs", name), { recursive: true });
      await writeFile(join(state, "jobs", name, "job.json"), text);
    }
    // Notes of groups that are none, and of one that is another process by now.
    await mkdir(join(state, "processes"));
    await writeFile(join(state, "processes", "none"), "garbage");
    await writeFile(join(state, "processes", String(process.pid)), "1 -\n");
    await writeFile(join(state, "mine"), "not the runner's");

    const runner = world.start();
    expect((await world.coordinator.addJob(shellJob("echo hi")).finished).status).toBe("success");
    expect(await runner.finish()).toBe(0);
    expect(runner.context.complained().match(/put aside/g)).toHaveLength(2);
    expect(runner.context.complained()).not.toContain("glcbt-very-secret");
    expect((await readdir(state)).toSorted()).toEqual(["aside", "mine"]);
    expect(await readdir(join(state, "aside"))).toHaveLength(2);
  });
});

/** Keeps the second update of the first job from being answered: the result, when the job is a short one. */
function holdResult(faults: Awaited<ReturnType<typeof runnerWorld>>["server"]["faults"]): {
  readonly arrived: Promise<void>;
  readonly stop: () => void;
} {
  const { promise: arrived, resolve } = Promise.withResolvers<void>();
  let updates = 0;
  const stop = faults.add({
    kinds: ["update-job"],
    when: () => {
      updates += 1;
      if (updates >= 2) resolve();
      return updates >= 2;
    },
    fault: { do: "hold", until: NEVER },
  });
  return { arrived, stop };
}

async function textOf(world: Awaited<ReturnType<typeof runnerWorld>>, id: number): Promise<string> {
  return new TextDecoder().decode(await world.coordinator.readTrace(id));
}
