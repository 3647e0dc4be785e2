import { spawn } from "node:child_process";
import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Writable } from "node:stream";
import { afterEach, describe, expect, it } from "vitest";

import { ShellExecutorError, ShellNotFoundError, createShellExecutor } from "./index.ts";
import type { ShellEnvironment, ShellExecutorOptions, ShellExit } from "./index.ts";

const PATH = process.env["PATH"] ?? "/usr/bin:/bin";
const directories: string[] = [];

afterEach(async () => {
  for (const directory of directories.splice(0)) await rm(directory, { recursive: true, force: true });
});

describe("a shell environment", () => {
  it.each(["bash", "sh"] as const)(
    "runs a script from standard input with %s and keeps the two streams apart",
    async (shell) => {
      const { environment } = await prepared({ shell });
      const result = await run(environment, "echo out; echo err >&2; exit 0\n");
      expect(result).toMatchObject({ exit: { code: 0, text: "exit status 0" }, stdout: "out\n", stderr: "err\n" });
    },
  );

  it("starts one process per script", async () => {
    const started: string[] = [];
    const { environment } = await prepared({
      spawn: (command, args, options) => {
        started.push([command, ...args].join(" "));
        return spawn(command, args, options);
      },
    });
    await run(environment, "echo one\necho two\n");
    expect(started).toEqual([expect.stringMatching(/^\/.*bash -l$/)]);
  });

  it("reads the profile of a login shell, and does not without login", async () => {
    const script = "shopt -q login_shell && echo login || echo plain\n";
    expect((await run((await prepared()).environment, script)).stdout).toBe("login\n");
    expect((await run((await prepared({ login: false })).environment, script)).stdout).toBe("plain\n");
  });

  it("gives the environment that was passed in and nothing of its own", async () => {
    const { environment } = await prepared({
      environment: { PATH, GREETING: "hello", HOME: "/nonexistent" },
      login: false,
    });
    const { stdout } = await run(environment, "env\n");
    const names = stdout.split("\n").map((line) => line.split("=")[0]);
    expect(new Set(names.filter((name) => !["", "PWD", "OLDPWD", "SHLVL", "_"].includes(name ?? "")))).toEqual(
      new Set(["GREETING", "HOME", "PATH"]),
    );
  });

  it.each([
    ["exit 7\n", { code: 7, text: "exit status 7" }],
    ["kill -KILL $$\n", { code: -1, text: "signal: killed" }],
    ["kill -TERM $$\n", { code: -1, text: "signal: terminated" }],
  ])("reports the end of %j", async (script, exit) => {
    const { environment } = await prepared();
    expect((await run(environment, script)).exit).toEqual(exit);
  });

  it("loses nothing of scripts that end at once, many at a time", async () => {
    const { environment } = await prepared({ login: false });
    const results = await Promise.all(
      Array.from({ length: 100 }, (_, index) => run(environment, `echo ${index}; echo error ${index} >&2\n`)),
    );
    expect(results.map(({ stdout }) => stdout)).toEqual(results.map((_, index) => `${index}\n`));
    expect(results.map(({ stderr }) => stderr)).toEqual(results.map((_, index) => `error ${index}\n`));
  });

  it("delivers all output before it resolves, also to a slow destination", async () => {
    const { environment } = await prepared();
    let bytes = 0;
    const slow = new Writable({
      highWaterMark: 1,
      write(chunk: Buffer, _encoding, callback) {
        bytes += chunk.length;
        setImmediate(callback);
      },
    });
    await environment.run({
      script: "head -c 3000000 /dev/zero\n",
      stdout: slow,
      stderr: new PassThrough().resume(),
      signal: new AbortController().signal,
    });
    expect(bytes).toBe(3_000_000);
    expect(slow.writableEnded).toBe(false);
  });

  it("never holds more than a few chunks of output while the destination waits", async () => {
    const { environment } = await prepared();
    let largest = 0;
    const stuck = new Writable({
      write(_chunk, _encoding, callback) {
        largest = Math.max(largest, stuck.writableLength);
        setImmediate(callback);
      },
    });
    await environment.run({
      script: "head -c 20000000 /dev/zero\n",
      stdout: stuck,
      stderr: new PassThrough().resume(),
      signal: new AbortController().signal,
    });
    expect(largest).toBeLessThanOrEqual(65_536);
  });

  it("leaves no file behind for the script", async () => {
    const { environment, temporary } = await prepared();
    const { stdout } = await run(environment, "ls -A\n");
    expect(stdout).toBe("");
    expect(await readdir(temporary)).toEqual([]);
  });
});

describe("stopping a script", () => {
  it("asks the whole group to end, grandchildren included", async () => {
    const { environment, temporary } = await prepared();
    const stopped = await runUntil(
      environment,
      "(trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.05; done) & wait\n",
    );
    expect(stopped.exit).toEqual({ code: -1, text: "signal: terminated" });
    expect(stopped.stdout).toContain("bye");
    await expectGone(temporary);
  });

  it("kills the group when it does not end within the grace", async () => {
    const { environment } = await prepared({ killGraceMs: 50 });
    const stopped = await runUntil(
      environment,
      "trap '' TERM; (trap '' TERM; echo ready; sleep 100) & sleep 100; sleep 100\n",
    );
    expect(stopped.exit).toEqual({ code: -1, text: "signal: killed" });
  });

  it("kills what outlives its shell after a stop", async () => {
    const { environment, temporary } = await prepared();
    const script = `(trap '' TERM; echo $BASHPID > ${temporary}/pid; echo ready; exec sleep 100 >/dev/null 2>&1) & wait\n`;
    await runUntil(environment, script);
    const pid = Number(await readFile(join(temporary, "pid"), "utf8"));
    await expectEnded(pid);
  });

  it("does not start a script whose signal is aborted already, and rejects with the reason", async () => {
    const { environment } = await prepared();
    const reason = new Error("too late");
    const output = new PassThrough();
    await expect(
      environment.run({ script: "echo no\n", stdout: output, stderr: output, signal: AbortSignal.abort(reason) }),
    ).rejects.toBe(reason);
  });

  it("kills a script that nobody waited for when the environment is cleaned up", async () => {
    const { environment } = await prepared();
    const stdout = new PassThrough();
    const running = environment.run({
      script: "trap '' TERM; echo ready; sleep 100; sleep 100\n",
      stdout,
      stderr: new PassThrough().resume(),
      signal: new AbortController().signal,
    });
    await new Promise((resolve) => stdout.once("data", resolve));
    await environment.cleanup({ signal: new AbortController().signal });
    expect((await running).text).toBe("signal: killed");
  });

  it("kills the scripts of all environments at once when everything is killed", async () => {
    const executor = createShellExecutor({ environment: { PATH } });
    const running = await Promise.all(
      [1, 2].map(async () => {
        const root = await mkdtemp(join(tmpdir(), "executor-shell-"));
        directories.push(root);
        const environment = await executor.prepare(prepareRequest(root));
        const stdout = new PassThrough();
        const exit = environment.run({
          script: "trap '' TERM; echo ready; sleep 100; sleep 100\n",
          stdout,
          stderr: new PassThrough().resume(),
          signal: new AbortController().signal,
        });
        await new Promise((resolve) => stdout.once("data", resolve));
        return { exit };
      }),
    );
    executor.killAll();
    for (const { exit } of running) expect((await exit).text).toBe("signal: killed");
  });
});

describe("a process that the script leaves behind", () => {
  it("does not hold the job when it keeps the output open", async () => {
    const { environment } = await prepared({ outputGraceMs: 50 });
    const result = await run(environment, "sleep 1000 &\necho done\n");
    expect(result).toMatchObject({ exit: { code: 0 }, stdout: "done\n" });
  });

  it("does not hold the job when it keeps the output open from outside the group", async () => {
    const { environment, temporary } = await prepared({ outputGraceMs: 50 });
    const result = await run(
      environment,
      `setsid sh -c 'echo $$ > ${temporary}/pid; exec sleep 1000' &\nwhile [ ! -s ${temporary}/pid ]; do :; done; echo done\n`,
    );
    expect(result).toMatchObject({ exit: { code: 0 }, stdout: "done\n" });
    process.kill(Number(await readFile(join(temporary, "pid"), "utf8")), "SIGKILL");
  });

  it("lives on when it has let go of the output", async () => {
    const { environment, temporary } = await prepared({ outputGraceMs: 50 });
    await run(environment, `sleep 1000 >/dev/null 2>&1 &\necho $! > ${temporary}/pid\n`);
    const pid = Number(await readFile(join(temporary, "pid"), "utf8"));
    expect(() => process.kill(pid, 0)).not.toThrow();
    process.kill(pid, "SIGKILL");
  });
});

describe("failures", () => {
  it("says which shell is missing and where it was looked for", async () => {
    const executor = createShellExecutor({ environment: { PATH: "/nonexistent" } });
    const failure = await executor.prepare(prepareRequest("/tmp")).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(ShellNotFoundError);
    expect(ShellExecutorError.isInstance(failure)).toBe(true);
    expect(failure).toMatchObject({
      failureReason: "runner_configuration_error",
      retryable: false,
      message: expect.stringContaining("there is no bash in the directories of PATH (/nonexistent)"),
    });
  });

  it("stops the script and rejects when the output cannot be written", async () => {
    const { environment } = await prepared();
    const broken = new Writable({
      write(_chunk, _encoding, callback) {
        callback(new Error("disk is full"));
      },
    });
    broken.on("error", () => undefined);
    await expect(
      environment.run({
        script: "echo x; sleep 1000\n",
        stdout: broken,
        stderr: new PassThrough().resume(),
        signal: new AbortController().signal,
      }),
    ).rejects.toThrow("disk is full");
  });

  it.each(["EAGAIN", "EMFILE", "ENOMEM"])("says that the host cannot start a process: %s", async (code) => {
    const { environment } = await prepared({
      spawn: () => {
        throw Object.assign(new Error(`spawn ${code}`), { code });
      },
    });
    await expect(run(environment, "echo no\n")).rejects.toMatchObject({
      name: "ShellStartError",
      failureReason: "runner_system_failure",
      retryable: true,
      message: expect.stringContaining(code),
    });
  });

  it("says that the shell has gone since the job was prepared", async () => {
    const { environment } = await prepared({
      spawn: (_command, args, options) => spawn("/nonexistent/bash", args, options),
    });
    await expect(run(environment, "echo no\n")).rejects.toBeInstanceOf(ShellNotFoundError);
  });

  it("refuses a negative grace", () => {
    expect(() => createShellExecutor({ environment: {}, killGraceMs: -1 })).toThrow(RangeError);
  });
});

async function prepared(
  options: Partial<ShellExecutorOptions> = {},
): Promise<{ environment: ShellEnvironment; temporary: string }> {
  const root = await mkdtemp(join(tmpdir(), "executor-shell-"));
  directories.push(root);
  const executor = createShellExecutor({ environment: { PATH, HOME: root }, ...options });
  const request = prepareRequest(root);
  return { environment: await executor.prepare(request), temporary: request.directories.temporary };
}

function prepareRequest(root: string): Parameters<ReturnType<typeof createShellExecutor>["prepare"]>[0] {
  return {
    directories: { builds: root, project: join(root, "p"), temporary: join(root, "p.tmp"), cache: join(root, "c") },
    log: () => undefined,
    signal: new AbortController().signal,
  };
}

interface Finished {
  readonly exit: ShellExit;
  readonly stdout: string;
  readonly stderr: string;
}

async function run(environment: ShellEnvironment, script: string): Promise<Finished> {
  return collect(environment, script, new AbortController().signal, () => undefined);
}

/** Stops the script as soon as it has printed `ready`. */
async function runUntil(environment: ShellEnvironment, script: string): Promise<Finished> {
  const stop = new AbortController();
  return collect(environment, script, stop.signal, (text) => {
    if (text.includes("ready")) stop.abort(new Error("stop"));
  });
}

async function collect(
  environment: ShellEnvironment,
  script: string,
  signal: AbortSignal,
  onOutput: (text: string) => void,
): Promise<Finished> {
  const texts = { stdout: "", stderr: "" };
  const sink = (name: "stdout" | "stderr"): Writable =>
    new Writable({
      write(chunk: Buffer, _encoding, callback) {
        texts[name] += chunk.toString();
        onOutput(texts[name]);
        callback();
      },
    });
  const exit = await environment.run({ script, stdout: sink("stdout"), stderr: sink("stderr"), signal });
  return { exit, ...texts };
}

async function expectGone(directory: string): Promise<void> {
  // The directory of the script is only free of processes when all of them have ended.
  for (const entry of await readdir("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const cwd = await readFile(join("/proc", entry, "cmdline"), "utf8").catch(() => "");
    expect(cwd).not.toContain(directory);
  }
}

/** Resolves when the process has ended; a zombie has. */
async function expectEnded(pid: number): Promise<void> {
  for (;;) {
    const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
    if (stat === undefined || /\) Z /.test(stat)) return;
  }
}
