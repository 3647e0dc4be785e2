import type { ChildProcess } from "node:child_process";
import type { Readable } from "node:stream";

import { ShellNotFoundError, ShellStartError } from "./errors.ts";
import { describeExit } from "./exit-text.ts";
import { startPump } from "./output-pump.ts";
import type { OutputPump } from "./output-pump.ts";
import { processGroup } from "./process-group.ts";
import type { ProcessGroup } from "./process-group.ts";
import { openScript } from "./script-file.ts";
import type { ShellExit, ShellRunRequest, Spawn } from "./types.ts";

/** How the scripts of one job are started and stopped. */
export interface ScriptSettings {
  /** Absolute path of the shell. */
  readonly shell: string;
  readonly args: readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly directory: string;
  readonly killGraceMs: number;
  readonly outputGraceMs: number;
  readonly sleep: (ms: number, signal?: AbortSignal) => Promise<void>;
  readonly spawn: Spawn;
  readonly kill: (processId: number, signal: NodeJS.Signals) => void;
  /** Told of the group while it lives. */
  readonly groups: Set<ProcessGroup>;
}

/** Runs one script in one new process group. */
export async function runScript(request: ShellRunRequest, settings: ScriptSettings): Promise<ShellExit> {
  request.signal.throwIfAborted();
  const { child, exited, pumps } = await start(request, settings);
  const group = processGroup(await processId(child, exited), settings.kill);
  settings.groups.add(group);

  const output = Promise.all(pumps.map((pump) => pump.done));
  const ended = new AbortController();
  const stop = (): void => void stopGroup(group, settings, ended.signal);
  request.signal.addEventListener("abort", stop, { once: true });
  // Output that nobody takes would block the script for ever.
  output.catch(stop);
  if (request.signal.aborted) stop();
  try {
    const exit = await exited;
    ended.abort();
    await finishOutput(output, pumps, group, settings);
    return exit;
  } finally {
    request.signal.removeEventListener("abort", stop);
    settings.groups.delete(group);
  }
}

interface StartedScript {
  readonly child: ChildProcess;
  readonly exited: Promise<ShellExit>;
  readonly pumps: readonly OutputPump[];
}

async function start(request: ShellRunRequest, settings: ScriptSettings): Promise<StartedScript> {
  const file = await openScript(request.script, settings.directory);
  try {
    const child = settings.spawn(settings.shell, settings.args, {
      cwd: settings.directory,
      env: settings.environment,
      // A group of its own, so that one signal reaches everything that the script starts.
      detached: true,
      stdio: [file.fd, "pipe", "pipe"],
    });
    const exited = new Promise<ShellExit>((resolve, reject) => {
      child.once("error", (error) => reject(startError(error, settings)));
      child.once("exit", (code, signal) => resolve(describeExit(code, signal)));
    });
    // In the same turn as the start: output that nobody reads when a short script ends is thrown away by the platform.
    const pumps = [
      startPump(readable(child.stdout), request.stdout),
      startPump(readable(child.stderr), request.stderr),
    ];
    // A start that fails has nobody who waits for the output; its own error tells what happened.
    for (const pump of pumps) pump.done.catch(() => undefined);
    return { child, exited, pumps };
  } catch (error) {
    throw startError(error, settings);
  } finally {
    await file.close();
  }
}

async function processId(child: ChildProcess, exited: Promise<ShellExit>): Promise<number> {
  if (child.pid !== undefined) return child.pid;
  // Without an id the start failed, and this promise rejects with the reason.
  await exited;
  throw new ShellStartError(child.spawnfile, "the process has no id");
}

function startError(error: unknown, settings: ScriptSettings): Error {
  return (error as NodeJS.ErrnoException).code === "ENOENT"
    ? new ShellNotFoundError(settings.shell, settings.environment["PATH"] ?? "", { cause: error })
    : new ShellStartError(settings.shell, error);
}

/** Asks first. What has outlived the shell or the grace is killed. */
async function stopGroup(group: ProcessGroup, settings: ScriptSettings, ended: AbortSignal): Promise<void> {
  if (ended.aborted) return;
  group.signal("SIGTERM");
  // Rejects when the shell has ended: what it left behind had its warning, too.
  await settings.sleep(settings.killGraceMs, ended).catch(() => undefined);
  group.signal("SIGKILL");
}

/**
 * Waits for the rest of the output. A process that the script left behind may hold it open: it gets the output grace, then
 * the group is asked to end, then killed. Whoever escaped from the group is not listened to any longer once it is silent.
 */
async function finishOutput(
  output: Promise<unknown>,
  pumps: readonly OutputPump[],
  group: ProcessGroup,
  settings: ScriptSettings,
): Promise<void> {
  for (const name of ["SIGTERM", "SIGKILL"] as const) {
    if (await endsInTime(output, settings)) return;
    group.signal(name);
  }
  for (let round = 0; round < MOST_FINAL_ROUNDS; round++) {
    const before = chunksOf(pumps);
    if (await endsInTime(output, settings)) return;
    // A slow destination is no reason to lose output that has been printed already.
    if (chunksOf(pumps) === before && !pumps.some((pump) => pump.writing)) break;
  }
  for (const pump of pumps) pump.stop();
  await output;
}

/** Bounds the wait for a process outside the group that never stops printing. */
const MOST_FINAL_ROUNDS = 60;

async function endsInTime(output: Promise<unknown>, settings: ScriptSettings): Promise<boolean> {
  const timer = new AbortController();
  try {
    const late = settings.sleep(settings.outputGraceMs, timer.signal).then(
      () => false,
      () => true,
    );
    return await Promise.race([output.then(() => true), late]);
  } finally {
    timer.abort();
  }
}

function chunksOf(pumps: readonly OutputPump[]): number {
  return pumps.reduce((sum, pump) => sum + pump.chunks, 0);
}

function readable(stream: Readable | null): Readable {
  if (stream === null) throw new TypeError("spawn gave no pipe for the output");
  return stream;
}
