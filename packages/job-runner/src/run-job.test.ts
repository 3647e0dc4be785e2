import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";

import { createCoordinatorClient } from "@fleetfoot/coordinator-client";
import { createShellExecutor } from "@fleetfoot/executor-shell";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import type { Environment, Executor } from "./executor.ts";
import {
  helloJob,
  openHarness,
  plain,
  REPORT_INTERVAL_MS,
  script,
  withAfterScript,
} from "./test-support/job-harness.ts";
import type { Harness } from "./test-support/job-harness.ts";

let harness: Harness;
beforeEach(async () => {
  harness = await openHarness();
});
afterEach(() => harness.dispose());

describe("a job that succeeds", () => {
  it("says so in its log and to the coordinator, and leaves nothing but its project behind", async () => {
    const { result, coordinator, log, events } = await harness.run(helloJob());
    expect(plain(log)).toMatch(
      /^Running with fleetfoot development \(unknown\)\n {2}on test runner AbCdEfGhI, system ID: s_0123456789ab\n/,
    );
    expect(log).toContain("\u001B[32;1m$ echo hi\u001B[0;m\nhi\n");
    expect(log).toMatch(/\u001B\[32;1mJob succeeded\u001B\[0;m\n$/);
    expect(coordinator.calls).toEqual(["PUT running", "PATCH 0", "PUT success"]);
    expect(coordinator.updates[1]?.trace).toEqual(result.trace);
    expect(result).toMatchObject({ outcome: "success", delivered: true, trace: { bytes: Buffer.byteLength(log) } });
    expect(events.at(-1)).toEqual({ type: "finished", result });
    expect(await readdir(join(harness.root, "state"))).toEqual([]);
    expect(await readdir(join(harness.root, "builds", "AbCdEfGhI", "0", "g"))).toEqual(["p"]);
  });

  it("names the variables that no shell can have, once and without their values", async () => {
    const variables = [
      { key: "GIT_STRATEGY", value: "none" },
      { key: "WITH-HYPHEN", value: "s3cr3t", public: true },
    ];
    const { log, result } = await harness.run(helloJob({ variables }));
    expect(log.split('scripts do not get "WITH-HYPHEN"')).toHaveLength(2);
    expect([log.includes("s3cr3t"), result.outcome]).toEqual([false, "success"]);
  });

  it("needs one process when it needs no sources", async () => {
    const { processes } = await harness.run(helloJob());
    expect(processes).toEqual([expect.stringMatching(/bash -l$/)]);
  });

  it("JE 1, with the shell executor: goes through its stages in order and shows each as a section", async () => {
    const { stages, log } = await harness.run(helloJob());
    expect(stages).toEqual([
      "prepare_executor",
      "prepare_script",
      "get_sources",
      "step_script",
      "cleanup_file_variables",
    ]);
    expect([...log.matchAll(/section_start:\d+:(\w+)\r\u001B\[0K/g)].map(([, name]) => name)).toEqual(stages);
  });

  it.each([
    { row: "CP A55", sections: false, lines: ["echo hi"] },
    { row: "CP A55", sections: true, lines: ["echo hi"] },
    { row: "CP A55", sections: true, lines: ["exit 1"] },
  ])(
    "$row: has balanced section markers only where they are understood ($sections, $lines)",
    async ({ sections, lines }) => {
      const { log } = await harness.run(helloJob({ features: { trace_sections: sections }, steps: script(...lines) }));
      const opened = [...log.matchAll(/section_start:\d+:(\w+)\r/g)].map(([, name]) => name);
      const closed = [...log.matchAll(/section_end:\d+:(\w+)\r/g)].map(([, name]) => name);
      expect(opened).toEqual(closed);
      expect(opened.length > 0).toBe(sections);
      expect(log.includes("section_")).toBe(sections);
    },
  );

  it("JE 2, with the shell executor: prints the same text without sections", async () => {
    const withSections = await harness.run(helloJob());
    const without = await harness.run(helloJob({ features: { trace_sections: false } }));
    const text = (log: string): string => plain(log).replaceAll(/section_(?:start|end):\d+:\w+\r/g, "");
    expect(text(without.log)).toBe(text(withSections.log));
  });
});

describe("scripts", () => {
  it("JE 4: a step's exit code becomes the job's", async () => {
    const { result, coordinator, log } = await harness.run(helloJob({ steps: script("exit 7") }));
    expect(plain(log)).toMatch(/ERROR: Job failed: exit status 7\n$/);
    expect(result).toMatchObject({ outcome: "failed", failureReason: "script_failure", exitCode: 7 });
    expect(coordinator.updates.at(-1)).toMatchObject({ state: "failed", failureReason: "script_failure", exitCode: 7 });
  });

  it("JE 7, with the shell executor: after_script finds the files that the script has left elsewhere", async () => {
    const file = join(harness.root, "elsewhere");
    const steps = withAfterScript([`echo x > ${file}`], [`cat ${file}`]);
    const { log } = await harness.run(helloJob({ steps }));
    expect(plain(log)).toContain(`$ cat ${file}\nx\n`);
  });

  it("JE 5: a failing command in a pipe fails the step", async () => {
    const { result, log } = await harness.run(helloJob({ steps: script("false | true", "echo ok") }));
    expect(result.outcome).toBe("failed");
    expect(log).not.toContain("ok\n");
  });

  it("JE 6: a command that reads its input sees the end of it, not the rest of the script", async () => {
    const { result, log } = await harness.run(helloJob({ steps: script("cat", "echo after") }));
    expect(result.outcome).toBe("success");
    expect(plain(log)).toContain("$ cat\n$ echo after\nafter\n");
    expect(log).not.toContain("printf");
    expect(log).not.toContain("export ");
  });

  it("JE 8: after_script starts anew, in the project", async () => {
    const steps = withAfterScript(["export A=1; cd /"], ["echo [$A] $PWD"]);
    const { log } = await harness.run(helloJob({ steps }));
    expect(log).toContain(`[] ${join(harness.root, "builds/AbCdEfGhI/0/g/p")}\n`);
    expect(plain(log)).toContain("Running after_script\nRunning after script...\n");
  });

  it("JE 9: an after_script that fails is a warning", async () => {
    const { result, log } = await harness.run(helloJob({ steps: withAfterScript(["true"], ["exit 5"]) }));
    expect(result.outcome).toBe("success");
    expect(plain(log)).toContain("WARNING: after_script failed, but job will continue unaffected: exit status 5\n");
  });

  it("JE 10: an after_script that fails counts where the job says so", async () => {
    const job = helloJob({ steps: withAfterScript(["true"], ["exit 5"]) }, [
      { key: "AFTER_SCRIPT_IGNORE_ERRORS", value: "false" },
    ]);
    const { result, coordinator } = await harness.run(job);
    expect(result).toMatchObject({ outcome: "failed", exitCode: 5 });
    expect(coordinator.updates.at(-1)).toMatchObject({ state: "failed", exitCode: 5 });
  });

  it("keep the error of the script when after_script fails, too", async () => {
    const job = helloJob({ steps: withAfterScript(["exit 7"], ["echo $CI_JOB_STATUS; exit 5"]) }, [
      { key: "AFTER_SCRIPT_IGNORE_ERRORS", value: "false" },
    ]);
    const { result, log } = await harness.run(job);
    expect(result.exitCode).toBe(7);
    expect(log).toContain("\nfailed\n");
  });

  it("run one step after the other and stop at the first that fails", async () => {
    const steps = [
      { name: "script", script: ["echo one"] },
      { name: "release", script: ["echo $CI_JOB_NAME", "exit 3"] },
      { name: "late", script: ["echo three"] },
    ];
    const { stages, result, log } = await harness.run(helloJob({ steps }, [{ key: "CI_JOB_NAME", value: "hello" }]));
    expect(stages.filter((stage) => stage.startsWith("step_"))).toEqual(["step_script", "step_release"]);
    expect(plain(log)).toContain("$ echo hello\nhello\n");
    expect(result.exitCode).toBe(3);
  });

  it("show only the first line of a command with several, and an empty line for an empty entry", async () => {
    const { log } = await harness.run(helloJob({ steps: script("  echo a\n  echo b  ", "", "echo c") }));
    expect(plain(log)).toContain("$ echo a # collapsed multi-line command\na\nb\n\n$ echo c\nc\n");
  });

  it("run between the operator's own scripts, in one shell", async () => {
    const runner = { preBuildScript: "export FROM_OPERATOR=yes", postBuildScript: "echo after $FROM_JOB" };
    const { log } = await harness.run(helloJob({ steps: script("export FROM_JOB=$FROM_OPERATOR") }), { runner });
    expect(log).toContain("\nafter yes\n");
  });

  it("are skipped, but not after_script, when the operator's script fails", async () => {
    const steps = withAfterScript(["echo from the job"], ["echo from after_script"]);
    const { result, log } = await harness.run(helloJob({ steps }), { runner: { preBuildScript: "exit 9" } });
    expect(result.exitCode).toBe(9);
    expect(log).not.toContain("\nfrom the job\n");
    expect(log).toContain("\nfrom after_script\n");
  });

  it("see what earlier ones wrote to GITLAB_ENV", async () => {
    const steps = withAfterScript(
      ['echo "GREETING=good day $USER" >> $GITLAB_ENV', "echo 'no assignment; touch /tmp/never' >> $GITLAB_ENV"],
      ['echo "[$GREETING]"'],
    );
    const { log, result } = await harness.run(helloJob({ steps }, [{ key: "USER", value: "all" }]));
    expect(result.outcome).toBe("success");
    expect(log).toContain("\n[good day all]\n");
  });

  it("work with a shell that is not bash", async () => {
    const steps = withAfterScript(["echo 'it''s' \"$A\"; cat; exit 4"], ["echo $CI_JOB_STATUS"]);
    const executor = createShellExecutor({
      shell: "sh",
      environment: { PATH: process.env["PATH"], HOME: harness.root },
    });
    const { log, result } = await harness.run(
      helloJob({ steps }, [{ key: "A", value: "line 1\n'2' $HOME", raw: true }]),
      {
        runner: { shell: "sh" },
        options: { executor },
      },
    );
    expect(log).toContain("its line 1\n'2' $HOME\n");
    expect(log).toContain("\nfailed\n");
    expect(result.exitCode).toBe(4);
  });
});

describe("what the coordinator says before the job", () => {
  it("CP A28: a payload that cannot be honoured is confirmed, then failed with its text in the log", async () => {
    const text = 'unknown key "kubernetis" in executor_opts of the image';
    const { result, coordinator, log, stages } = await harness.run(helloJob(), { options: { rejection: text } });
    expect(coordinator.updates[0]).toEqual({ state: "running" });
    expect(coordinator.updates.at(-1)).toMatchObject({
      state: "failed",
      failureReason: "runner_system_failure",
      exitCode: 3,
    });
    expect(plain(log)).toContain(`ERROR: Job failed (system failure): ${text}\n`);
    expect(stages).toEqual([]);
    expect(result.exitCode).toBe(3);
  });

  it("CP A29: a job that is not wanted any longer is dropped without another word", async () => {
    const answers = { update: () => ({ status: 403, outcome: "abort" }) as const };
    const { result, coordinator, stages, processes } = await harness.run(helloJob(), { answers });
    expect(result.outcome).toBe("dropped");
    expect(coordinator.calls).toEqual(["PUT running"]);
    expect([stages, processes]).toEqual([[], []]);
    expect(await readdir(join(harness.root, "state"))).toEqual([]);
  });

  it("CP A30: a coordinator without an answer does not keep the job from running", async () => {
    const answers = {
      update: ({ state }: { readonly state: string }) =>
        state === "running" ? ({ status: 500, outcome: "failed" } as const) : {},
    };
    const go = join(harness.root, "go");
    const job = helloJob({ steps: script("echo ready", `until [ -e '${go}' ]; do sleep 0.02; done`) });
    let atMs = 0;
    const started = harness.start(job, { answers, options: { now: () => (atMs += 60_000) } });
    await started.printed("ready");
    // It is silent for so long that it is touched at each of them.
    for (let tick = 0; tick < 5; tick += 1) await started.time.elapse(REPORT_INTERVAL_MS);
    await writeFile(go, "");
    const { result, coordinator } = await started.finished;
    expect(coordinator.calls.filter((call) => call === "PUT running").length).toBeGreaterThan(3);
    expect(result).toMatchObject({ outcome: "success", delivered: true });
  });

  it("a job that is cancelled at the door is failed by its own reason, and nothing runs", async () => {
    const answers = { update: (_: unknown, index: number) => ({ cancelRequested: index === 0 }) };
    const { coordinator, processes, stages } = await harness.run(helloJob(), { answers });
    expect(coordinator.updates.at(-1)).toMatchObject({ state: "failed", failureReason: "job_canceled" });
    expect([processes, stages]).toEqual([[], []]);
  });

  it.each([
    { row: "CP A46", code: 0, sent: undefined },
    { row: "CP A46", code: 1, sent: 1 },
    { row: "CP A46", code: 4_294_967_295, sent: -1 },
  ])("$row: exit code $code arrives at the coordinator as $sent", async ({ code, sent }) => {
    const bodies: Record<string, unknown>[] = [];
    const server = createServer((request, response) => {
      const pieces: Buffer[] = [];
      request.on("data", (piece: Buffer) => pieces.push(piece));
      request.once("end", () => {
        const body = Buffer.concat(pieces).toString();
        if (request.method === "PUT") bodies.push(JSON.parse(body) as Record<string, unknown>);
        response.writeHead(request.method === "PUT" ? 200 : 202, { "Content-Type": "application/json" }).end("{}");
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address() as { port: number };
    const client = createCoordinatorClient({
      url: `http://127.0.0.1:${address.port}`,
      info: { name: "fleetfoot", version: "19.4.0" },
    });
    try {
      const executor = exitingWith(code);
      await harness.run(helloJob(), { options: { client, executor } });
      expect(bodies.map(({ state }) => state)).toEqual(["running", code === 0 ? "success" : "failed"]);
      expect(bodies[1]?.["exit_code"]).toBe(sent);
    } finally {
      await client.close();
      server.close();
    }
  });
});

describe("what keeps a job from starting", () => {
  it("is a secret of a provider, which is named", async () => {
    const secrets = { DB_PASSWORD: { vault: { path: "db" } } };
    const { result, log, stages } = await harness.run(helloJob({ secrets }));
    expect(result).toMatchObject({ outcome: "failed", failureReason: "runner_configuration_error" });
    expect(log).toContain("DB_PASSWORD from vault");
    expect(stages).toEqual([]);
  });

  it.runIf(process.platform === "linux")(
    "is a variable that no program could be started with, which is named",
    async () => {
      const variables = [{ key: "LONG_ONE", value: "s3cr3t".repeat(30_000), public: true }];
      const { result, log, processes, time } = await harness.run(helloJob({ variables }));
      expect(result).toMatchObject({ outcome: "failed", failureReason: "runner_configuration_error" });
      expect(log).toMatch(/Job failed: the variable "LONG_ONE" is too long for an environment: .*180010 bytes/);
      expect(log).not.toContain("s3cr3t");
      expect([processes, time.waits.includes(3_000)]).toEqual([[], false]);
    },
  );

  it("is a log that cannot be kept; the coordinator is told", async () => {
    await rm(join(harness.root, "state"), { recursive: true });
    const { result, coordinator, stages } = await harness.run(helloJob());
    expect(coordinator.updates).toEqual([
      { state: "running" },
      { state: "failed", failureReason: "runner_system_failure" },
    ]);
    expect(result).toMatchObject({ outcome: "failed", delivered: true });
    expect(stages).toEqual([]);
  });

  it("is a shell that is missing; it is not looked for three times", async () => {
    const executor = createShellExecutor({ environment: { PATH: "/nonexistent" } });
    const { result, log, time } = await harness.run(helloJob(), { options: { executor } });
    expect(result.failureReason).toBe("runner_configuration_error");
    expect(log).toContain("there is no bash");
    expect(time.waits).not.toContain(3_000);
  });

  it("is an executor that fails three times, three seconds apart, when it does not say why", async () => {
    let tries = 0;
    const executor: Executor = {
      name: "broken",
      prepare: () => {
        tries++;
        return Promise.reject(new Error("no machine answers"));
      },
    };
    const { result, log, time, stages } = await harness.run(helloJob(), { options: { executor } });
    expect(tries).toBe(3);
    expect(time.waits.filter((ms) => ms === 3_000)).toHaveLength(2);
    expect(result.failureReason).toBe("runner_system_failure");
    expect(plain(log)).toContain("Job failed (system failure): no machine answers\n");
    expect(stages).toEqual(["prepare_executor"]);
  });

  it("is a builds directory that cannot be written: no later stage runs", async () => {
    await writeFile(join(harness.root, "builds"), "in the way");
    const { result, stages } = await harness.run(helloJob());
    expect(result.failureReason).toBe("runner_system_failure");
    expect(stages).toEqual(["prepare_executor", "prepare_script"]);
  });
});

describe("an environment", () => {
  it("is released exactly once, also when everything in it fails", async () => {
    let released = 0;
    const executor = fakeExecutor({
      run: () => Promise.reject(new Error("the place was lost")),
      cleanup: async () => {
        released++;
        throw new Error("and so was its cleanup");
      },
    });
    const { result } = await harness.run(helloJob(), { options: { executor } });
    expect(released).toBe(1);
    expect(result).toMatchObject({ outcome: "failed", failureReason: "runner_system_failure", delivered: true });
  });

  it("is released when it arrives after the job was given up", async () => {
    const ready = Promise.withResolvers<void>();
    const released = Promise.withResolvers<void>();
    const stop = new AbortController();
    const executor = fakeExecutor({
      prepare: () => ready.promise,
      cleanup: async () => released.resolve(),
    });
    const started = harness.start(helloJob(), { options: { executor, signal: stop.signal } });
    await started.time.elapse(REPORT_TICK);
    stop.abort();
    expect((await started.finished).result.failureReason).toBe("runner_interrupted");
    ready.resolve();
    await released.promise;
  });
});

const REPORT_TICK = 3_001;

function exitingWith(code: number): Executor {
  return fakeExecutor({ run: async () => ({ code, text: `exit status ${code}` }) });
}

function fakeExecutor(behaviour: {
  readonly run?: Environment["run"];
  readonly cleanup?: Environment["cleanup"];
  readonly prepare?: () => Promise<void>;
}): Executor {
  const done = async (): Promise<void> => undefined;
  return {
    name: "fake",
    prepare: async ({ directories }) => {
      await behaviour.prepare?.();
      await mkdir(directories.builds, { recursive: true });
      return {
        workspace: { directories, publish: done, collect: done },
        variables: {},
        description: "nowhere",
        run: behaviour.run ?? (async () => ({ code: 0, text: "exit status 0" })),
        cleanup: behaviour.cleanup ?? done,
      };
    },
  };
}
