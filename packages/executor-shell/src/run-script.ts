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
  const file = await openScript(request.script, settings.directory);
  let started: StartedScript;
  try {
    started = start(file.fd, request, settings);
  } finally {
    // The shell has inherited the file.
    await file.close();
  }
  const { exited, group, pumps } = started;
  // Without a group there is no process, and this rejects with the reason.
  if (group === undefined) return exited;

  const output = Promise.all(pumps.map((pump) => pump.done));
  const ended = new AbortController();
  let stopping: Promise<void> | undefined;
  const stop = (): void => {
    stopping ??= stopGroup(group, settings, ended.signal);
  };
  request.signal.addEventListener("abort", stop, { once: true });
  // Output that nobody takes would block the script for ever.
  output.catch(stop);
  if (request.signal.aborted) stop();
  try {
    const exit = await exited;
    // What outlives the shell of a stopped script has the same grace, as long as it has something to say.
    if (stopping === undefined) await outlastStrays(output, group, settings);
    else await Promise.race([output, stopping]);
    await finishOutput(output, pumps, settings);
    return exit;
  } finally {
    ended.abort();
    request.signal.removeEventListener("abort", stop);
    settings.groups.delete(group);
  }
}

interface StartedScript {
  readonly exited: Promise<ShellExit>;
  readonly pumps: readonly OutputPump[];
  /** Undefined when the process could not be started. */
  readonly group: ProcessGroup | undefined;
}

/**
 * Starts the shell and listens to it, in one turn: output that nobody reads when a short script ends is thrown away by the
 * platform, and a group that nobody knows of cannot be stopped.
 */
function start(input: number, request: ShellRunRequest, settings: ScriptSettings): StartedScript {
  const child = spawnShell(input, settings);
  const exited = new Promise<ShellExit>((resolve, reject) => {
    child.once("error", (error) => reject(startError(error, settings)));
    child.once("exit", (code, signal) => resolve(describeExit(code, signal)));
  });
  // Waited for later; until then a failure is nobody's.
  exited.catch(() => undefined);
  // A host without file descriptors left gives neither a process nor pipes.
  if (child.pid === undefined) return { exited, pumps: [], group: undefined };
  const pumps = [startPump(readable(child.stdout), request.stdout), startPump(readable(child.stderr), request.stderr)];
  for (const pump of pumps) pump.done.catch(() => undefined);
  const group = processGroup(child.pid, settings.kill);
  settings.groups.add(group);
  return { exited, pumps, group };
}

function spawnShell(input: number, settings: ScriptSettings): ChildProcess {
  try {
    return settings.spawn(settings.shell, settings.args, {
      cwd: settings.directory,
      env: settings.environment,
      // A group of its own, so that one signal reaches everything that the script starts.
      detached: true,
      stdio: [input, "pipe", "pipe"],
    });
  } catch (error) {
    throw startError(error, settings);
  }
}

function startError(error: unknown, settings: ScriptSettings): Error {
  return (error as NodeJS.ErrnoException).code === "ENOENT"
    ? new ShellNotFoundError(settings.shell, settings.environment["PATH"] ?? "", { cause: error })
    : new ShellStartError(settings.shell, error);
}

/** Asks first. What is left when the script has ended, or when the grace is over, is killed. */
async function stopGroup(group: ProcessGroup, settings: ScriptSettings, ended: AbortSignal): Promise<void> {
  group.signal("SIGTERM");
  // Rejects when the script has ended before.
  await settings.sleep(settings.killGraceMs, ended).catch(() => undefined);
  group.signal("SIGKILL");
}

/**
 * Waits for the output of a script that ended by itself. A process that it left behind may hold the output open: it gets the
 * output grace, then the group is asked to end, then killed.
 */
async function outlastStrays(output: Promise<unknown>, group: ProcessGroup, settings: ScriptSettings): Promise<void> {
  for (const name of ["SIGTERM", "SIGKILL"] as const) {
    if (await endsInTime(output, settings)) return;
    group.signal(name);
  }
}

/** Waits for what has been printed. Whoever escaped from the group is not listened to any longer once it is silent. */
async function finishOutput(
  output: Promise<unknown>,
  pumps: readonly OutputPump[],
  settings: ScriptSettings,
): Promise<void> {
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
