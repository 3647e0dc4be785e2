import type { IncomingMessage } from "node:http";

import type { Engine } from "../engine/engine.ts";
import { isMissing } from "../engine/engine.ts";
import {
  ContainerLostError,
  EngineResponseError,
  EngineRestartedError,
  EngineUnreachableError,
  OutputLostError,
} from "../errors.ts";
import type { Sleep } from "../types.ts";

export interface WaitOptions {
  readonly engine: Engine;
  readonly containerId: string;
  readonly containerName: string;
  /** Time for which a broken connection is tried to be made anew. */
  readonly reconnectMs: number;
  readonly sleep: Sleep;
  readonly now: () => number;
  readonly signal: AbortSignal;
  /** Holds the answer that is waited for, so that one whose connection is dead can be destroyed. */
  readonly current: { answer?: IncomingMessage };
}

/** Asks for the next end of a container; to be called before its start, so that not even the shortest run is missed. */
export function openWait(
  { engine, containerId, signal }: WaitOptions,
  condition = "next-exit",
): Promise<IncomingMessage> {
  const path = `/containers/${containerId}/wait?condition=${condition}`;
  return engine.open({ what: "wait for a container", method: "POST", path, signal });
}

/**
 * The exit code of a container. A connection that breaks is made anew.
 *
 * @param first - the answer of {@link openWait}
 * @throws {ContainerLostError} somebody removed the container
 * @throws {EngineRestartedError} the engine ended, and the container with it
 * @throws {OutputLostError} the engine stayed away for too long
 * @throws `signal.reason`
 */
export async function waitForExit(first: IncomingMessage, options: WaitOptions): Promise<number> {
  const { containerName, reconnectMs, sleep, now, signal } = options;
  let answer: IncomingMessage | undefined = first;
  let wentAway = false;
  let brokenSince: number | undefined;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    let hasAnswered = false;
    try {
      answer ??= await openWait(options, "not-running");
      options.current.answer = answer;
      hasAnswered = true;
      const code = await readExitCode(answer);
      if (code !== 0) await checkPresence(options);
      if (code !== 0 && wentAway && (await endsContainers(options))) throw new EngineRestartedError(containerName);
      return code;
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof ContainerLostError || error instanceof EngineRestartedError) throw error;
      wentAway ||= isRefusal(error);
      if (isMissing(error)) throw new ContainerLostError(containerName, { cause: error });
      // What breaks later has nothing to do with what broke before.
      if (hasAnswered && !(error instanceof EngineResponseError)) [brokenSince, pauseMs] = [undefined, FIRST_PAUSE_MS];
      brokenSince ??= now();
      if (now() - brokenSince > reconnectMs) throw new OutputLostError(containerName, error);
      answer = undefined;
      await sleep(pauseMs, signal);
    }
  }
}

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;

async function readExitCode(answer: IncomingMessage): Promise<number> {
  let text = "";
  for await (const piece of answer.setEncoding("utf8")) text += String(piece);
  const { StatusCode: code, Error: failure } = JSON.parse(text) as {
    readonly StatusCode?: unknown;
    readonly Error?: { readonly Message?: string } | null;
  };
  if (failure?.Message !== undefined && failure.Message !== "") {
    throw new EngineResponseError("wait for a container", 500, failure.Message);
  }
  if (typeof code !== "number") throw new Error("the engine's answer has no exit code");
  return code;
}

/** A container that somebody removes is killed first, which looks like any other end. */
async function checkPresence({ engine, containerId, containerName, signal }: WaitOptions): Promise<void> {
  const { State: state } = await engine.call(
    "inspect a container",
    (docker) => docker.getContainer(containerId).inspect(),
    { signal },
  );
  if (state.Status === "removing" || state.Dead) throw new ContainerLostError(containerName);
}

/** Whether nobody listened at the engine's address, which a broken connection alone does not do. */
function isRefusal(error: unknown): boolean {
  const { code } = (error instanceof EngineUnreachableError ? error.cause : {}) as NodeJS.ErrnoException;
  return code === "ECONNREFUSED" || code === "ENOENT";
}

/** Whether the engine takes its containers with it when it ends. @see https://docs.docker.com/engine/daemon/live-restore/ */
async function endsContainers({ engine, signal }: WaitOptions): Promise<boolean> {
  const { LiveRestoreEnabled: livesOn } = (await engine.call("tell its settings", (docker) => docker.info(), {
    signal,
  })) as {
    readonly LiveRestoreEnabled?: boolean;
  };
  return livesOn !== true;
}
