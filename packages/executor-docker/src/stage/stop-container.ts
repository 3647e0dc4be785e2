import type { Engine } from "../engine/engine.ts";
import { isMissing } from "../engine/engine.ts";
import type { Sleep } from "../types.ts";
import { settlesWithin } from "./settle.ts";

export interface StopOptions {
  readonly engine: Engine;
  readonly containerId: string;
  /** Resolves when the container has ended; that it rejects says nothing of the container. */
  readonly exited: Promise<unknown>;
  /** Whether the container sees only its own processes. */
  readonly ownProcesses: boolean;
  /** Time for the processes to end after they were asked to. */
  readonly graceMs: number;
  readonly sleep: Sleep;
}

/**
 * Ends what runs in a container, gently first; the container itself stays. Each step has its limit, whatever the engine does.
 *
 * A shell that is the first process obeys TERM only after its foreground child has ended, so the children are asked first.
 *
 * @returns whether it has ended
 * @see job-execution 2.9
 */
export async function stopContainer(options: StopOptions): Promise<boolean> {
  const { engine, containerId, exited, graceMs, sleep } = options;
  const ended = exited.catch(() => new Promise<never>(() => undefined));
  const endsWithin = async (ms: number): Promise<boolean> =>
    (await settlesWithin(ended, ms, sleep)) || (await hasEnded(engine, containerId));
  if (options.ownProcesses && graceMs > 0) {
    await trying(terminateProcesses(engine, containerId));
    if (await endsWithin(graceMs)) return true;
  }
  const seconds = Math.ceil(graceMs / 1_000);
  await trying(
    engine.call("stop a container", (docker) => docker.getContainer(containerId).stop({ t: seconds }), {
      limitMs: graceMs + STEP_LIMIT_MS,
    }),
  );
  for (let tries = 0; tries < MOST_KILLS; tries += 1) {
    if (await endsWithin(KILL_PAUSE_MS)) return true;
    await trying(
      engine.call("kill a container", (docker) => docker.getContainer(containerId).kill(), { limitMs: STEP_LIMIT_MS }),
    );
  }
  return await endsWithin(KILL_PAUSE_MS);
}

const MOST_KILLS = 5;
const KILL_PAUSE_MS = 1_000;
const STEP_LIMIT_MS = 10_000;

/** An engine that does not answer knows nothing. */
async function hasEnded(engine: Engine, containerId: string): Promise<boolean> {
  try {
    const { State: state } = await engine.call(
      "inspect a container",
      (docker) => docker.getContainer(containerId).inspect(),
      { limitMs: STEP_LIMIT_MS },
    );
    return !state.Running;
  } catch (error) {
    return isMissing(error);
  }
}

/** All at once, so that none has time to start another one; not the shell that runs this, and not the first process. */
const TERMINATE_ALL =
  'p=; for d in /proc/[0-9]*; do n=${d#/proc/}; [ "$n" = 1 ] || [ "$n" = $$ ] || p="$p $n"; done; kill -TERM $p; kill -TERM 1';

async function terminateProcesses(engine: Engine, containerId: string): Promise<void> {
  await engine.call(
    "run a command in a container",
    async (docker) => {
      const exec = await docker.getContainer(containerId).exec({ Cmd: ["sh", "-c", TERMINATE_ALL], User: "0" });
      const answer = await exec.start({ Detach: true });
      answer.destroy();
    },
    { limitMs: STEP_LIMIT_MS },
  );
}

/** It may have ended by itself, or have no shell; the next means will do. */
async function trying(work: Promise<unknown>): Promise<void> {
  await work.catch(() => undefined);
}
