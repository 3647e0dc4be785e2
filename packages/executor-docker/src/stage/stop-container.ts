import type { Engine } from "../engine/engine.ts";
import type { Sleep } from "../types.ts";
import { settlesWithin } from "./settle.ts";

export interface StopOptions {
  readonly engine: Engine;
  readonly containerId: string;
  /** Settles when the container has ended. */
  readonly exited: Promise<unknown>;
  /** Whether the container sees only its own processes. */
  readonly ownProcesses: boolean;
  /** Time for the processes to end after they were asked to. */
  readonly graceMs: number;
  readonly sleep: Sleep;
}

/**
 * Ends what runs in a container, gently first; the container itself stays. Resolves when it has ended, or when nothing helped.
 *
 * A shell that is the first process obeys TERM only after its foreground child has ended, so the children are asked first.
 *
 * @see job-execution 2.9
 */
export async function stopContainer(options: StopOptions): Promise<void> {
  const { engine, containerId, exited, graceMs, sleep } = options;
  if (options.ownProcesses) {
    await trying(terminateProcesses(engine, containerId));
    if (await settlesWithin(exited, graceMs, sleep)) return;
  }
  const seconds = Math.ceil(graceMs / 1_000);
  await trying(engine.call("stop a container", (docker) => docker.getContainer(containerId).stop({ t: seconds })));
  for (let tries = 0; tries < MOST_KILLS; tries += 1) {
    if (await settlesWithin(exited, KILL_PAUSE_MS, sleep)) return;
    await trying(engine.call("kill a container", (docker) => docker.getContainer(containerId).kill()));
  }
}

const MOST_KILLS = 5;
const KILL_PAUSE_MS = 1_000;

/** All at once, so that none has time to start another one; not the shell that runs this, and not the first process. */
const TERMINATE_ALL =
  'p=; for d in /proc/[0-9]*; do n=${d#/proc/}; [ "$n" = 1 ] || [ "$n" = $$ ] || p="$p $n"; done; kill -TERM $p; kill -TERM 1';

async function terminateProcesses(engine: Engine, containerId: string): Promise<void> {
  await engine.call("run a command in a container", async (docker) => {
    const exec = await docker.getContainer(containerId).exec({ Cmd: ["sh", "-c", TERMINATE_ALL], User: "0" });
    const answer = await exec.start({ Detach: true });
    answer.destroy();
  });
}

/** It may have ended by itself, or have no shell; the next means will do. */
async function trying(work: Promise<unknown>): Promise<void> {
  await work.catch(() => undefined);
}
