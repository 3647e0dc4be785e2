import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";

import { demultiplex, StreamError, write } from "../engine/demultiplex.ts";
import type { OutputCount, OutputSink } from "../engine/demultiplex.ts";
import type { Engine } from "../engine/engine.ts";
import { isMissing } from "../engine/engine.ts";
import { ContainerLostError, EngineResponseError, EngineRestartedError, OutputLostError } from "../errors.ts";
import type { Sleep } from "../types.ts";
import { settlesWithin } from "./settle.ts";
import { StartMark } from "./start-mark.ts";
import { stopContainer } from "./stop-container.ts";
import { openWait, waitForExit } from "./wait-for-exit.ts";
import type { WaitOptions } from "./wait-for-exit.ts";

export interface StageOptions {
  readonly engine: Engine;
  readonly containerId: string;
  readonly containerName: string;
  /** Text for the standard input of the container's first process. */
  readonly script: string;
  /** Hexadecimal digits by which this run is told from others. */
  readonly random: string;
  readonly sink: OutputSink;
  /** What the container has delivered in all its runs; grows. */
  readonly delivered: OutputCount;
  /** Whether the container sees only its own processes. */
  readonly ownProcesses: boolean;
  readonly stopGraceMs: number;
  readonly reconnectMs: number;
  /** Silence after which the engine is asked whether the container still runs; 0: never. */
  readonly silenceCheckMs: number;
  readonly sleep: Sleep;
  readonly now: () => number;
  /** Stops the container; the stage still resolves, with the exit code that came of it. */
  readonly signal: AbortSignal;
}

/** How a run of a container ended. */
export interface StageEnd {
  readonly code: number;
  /** Whether the script began; if not, the code is that of the image's own entrypoint. */
  readonly hasBegun: boolean;
}

/** What a stage needs of its own. */
interface Stage extends StageOptions {
  readonly mark: StartMark;
}

/**
 * Runs a container once, from start to end: attaches, asks for its end, starts it, sends the script, passes on what it prints.
 *
 * The end of the container is learnt by a request of its own and never from the end of the output, because a connection that
 * breaks looks like one that ends. What was printed meanwhile is then read from the container's log, from where it broke.
 *
 * @throws {EngineResponseError} the engine could not start the container
 * @throws {ContainerLostError} somebody removed it
 * @throws {OutputLostError} the connection broke and the engine stayed away
 * @throws {unknown} what the sink failed with
 * @throws `signal.reason` it was aborted before the start, or the engine does not end the container
 * @see job-execution 2.7, 2.8
 */
export async function runStage(options: StageOptions): Promise<StageEnd> {
  const { engine, signal } = options;
  signal.throwIfAborted();
  const over = new AbortController();
  const mark = new StartMark(options.random);
  const waiting: WaitOptions = { ...options, signal: over.signal, current: {} };
  let socket: Duplex | undefined;
  try {
    const [answer, attached] = await start(options, waiting, over, (opened) => (socket = opened));
    sendScript(engine, attached, mark.before(options.script));
    const exited = waitForExit(answer, waiting);
    void watchSilence(options, over.signal, (reason) => {
      attached.destroy(reason);
      waiting.current.answer?.destroy(reason);
    });
    const code = await supervise({ ...options, mark }, attached, exited, over.signal);
    return { code, hasBegun: mark.isSeen };
  } finally {
    socket?.destroy();
    over.abort(new Error("the stage is over"));
  }
}

/** Until the script runs there is nothing to stop gently: the signal ends all requests. */
async function start(
  options: StageOptions,
  waiting: WaitOptions,
  over: AbortController,
  onAttached: (socket: Duplex) => void,
): Promise<[IncomingMessage, Duplex]> {
  const { engine, containerId, signal } = options;
  const leave = (): void => over.abort(signal.reason);
  signal.addEventListener("abort", leave, { once: true });
  let isStarting = false;
  try {
    const attaching = attach(engine, containerId, over.signal).then((socket) => {
      onAttached(socket);
      return socket;
    });
    const opened = await Promise.all([openWait(waiting), attaching]);
    isStarting = true;
    await engine.call("start a container", (docker) => docker.getContainer(containerId).start(), {
      signal: over.signal,
    });
    return opened;
  } catch (error) {
    // It may run all the same, with nobody to watch it.
    if (isStarting && !(error instanceof EngineResponseError)) await killAtOnce(options);
    throw error;
  } finally {
    signal.removeEventListener("abort", leave);
  }
}

async function killAtOnce({ engine, containerId }: StageOptions): Promise<void> {
  const kill = engine.call("kill a container", (docker) => docker.getContainer(containerId).kill(), {
    limitMs: KILL_LIMIT_MS,
  });
  // What failed before is what is told.
  await kill.catch(() => undefined);
}

const KILL_LIMIT_MS = 10_000;

function attach(engine: Engine, containerId: string, signal: AbortSignal): Promise<Duplex> {
  const path = `/containers/${containerId}/attach?stream=1&stdin=1&stdout=1&stderr=1`;
  return engine.upgrade({ what: "attach to a container", method: "POST", path, signal });
}

/**
 * The script ends its shell by itself. Over a network the stream stays open, because some firewalls forget a half-closed
 * connection after a minute.
 */
function sendScript(engine: Engine, socket: Duplex, script: string): void {
  // A container that ends without reading is told by its exit code.
  socket.on("error", () => undefined);
  if ("socketPath" in engine.address.place) socket.end(script);
  else socket.write(script);
}

/** Follows a running container to its end, whatever happens to the connection. */
async function supervise(options: Stage, socket: Duplex, exited: Promise<number>, over: AbortSignal): Promise<number> {
  const { signal, sleep, delivered } = options;
  // Looked at below; until then nobody may call a rejection unhandled.
  exited.catch(() => undefined);
  let giveUp: (reason: unknown) => void = () => undefined;
  const givenUp = new Promise<never>((_, reject) => {
    giveUp = reject;
  });
  let stopping: Promise<void> | undefined;
  const stop = (): void => {
    stopping ??= stopContainer({ ...options, graceMs: options.stopGraceMs, exited }).then((hasEnded) => {
      if (!hasEnded) giveUp(signal.reason);
    });
  };
  if (signal.aborted) stop();
  else signal.addEventListener("abort", stop, { once: true });
  const output = deliver(options, socket, exited, over);
  output.catch(() => undefined);
  try {
    // Output that nobody takes any longer ends the stage as well.
    const code = await Promise.race([exited, output.then(() => exited), givenUp]);
    await drained(output, socket, delivered, sleep);
    for (const name of ["stdout", "stderr"] as const) await write(options.sink[name], options.mark.rest(name));
    return code;
  } catch (error) {
    // Whatever runs in it must not go on unwatched.
    const isOver = error instanceof ContainerLostError || error instanceof EngineRestartedError;
    if (!isOver) await (stopping ?? stopContainer({ ...options, graceMs: 0, exited }));
    throw error;
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

/** Passes the output on, from the attached stream first, and from the log when that ends before the container. */
async function deliver(options: Stage, socket: Duplex, exited: Promise<number>, over: AbortSignal): Promise<void> {
  const { containerName, sink, reconnectMs, sleep, now } = options;
  const failed = sinkFailure(sink);
  try {
    await demultiplex(socket, sink, options.delivered, undefined, passing(options));
    if (await endedByItself(options, exited)) return;
  } catch {
    // Either the sink, which is asked, or the connection, which is replaced.
    failed.throwIfAborted();
  }
  let brokenSince: number | undefined;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    over.throwIfAborted();
    let hasAnswered = false;
    try {
      await readLog(options, "follow=1&", over, () => (hasAnswered = true));
      if (await settlesWithin(exited, SLOW_END_MS, sleep)) {
        // A last line without an end is in the log only now.
        await readLog(options, "", over);
        return;
      }
    } catch (error) {
      failed.throwIfAborted();
      if (isMissing(error)) throw new ContainerLostError(containerName, { cause: error });
      // What breaks later has nothing to do with what broke before.
      if (hasAnswered && !(error instanceof StreamError)) [brokenSince, pauseMs] = [undefined, FIRST_PAUSE_MS];
      brokenSince ??= now();
      if (now() - brokenSince > reconnectMs) throw new OutputLostError(containerName, error);
    }
    await sleep(pauseMs, over);
  }
}

/** Reads on where the output broke off. */
async function readLog(
  options: Stage,
  follow: "" | "follow=1&",
  signal: AbortSignal,
  onAnswer: () => void = () => undefined,
): Promise<void> {
  const { engine, containerId, sink, delivered } = options;
  const path = `/containers/${containerId}/logs?${follow}stdout=1&stderr=1`;
  const log = await engine.open({ what: "read a container's log", method: "GET", path, signal });
  onAnswer();
  await demultiplex(log, sink, delivered, { ...delivered }, passing(options));
}

function passing({ mark }: Stage): (name: keyof OutputCount, bytes: Buffer) => Buffer {
  return (name, bytes) => mark.pass(name, bytes);
}

/**
 * Whether a stream ended because its container did. The stream ends a moment before the news of the container does, and a busy
 * engine makes that moment long; then the engine's own clock tells which came first.
 */
async function endedByItself({ engine, containerId, sleep }: StageOptions, exited: Promise<unknown>): Promise<boolean> {
  if (await settlesWithin(exited, QUICK_END_MS, sleep)) return true;
  const { SystemTime: atEnd } = (await engine.call("tell its time", (docker) => docker.info())) as {
    readonly SystemTime?: string;
  };
  if (!(await settlesWithin(exited, SLOW_END_MS, sleep))) return false;
  const { State: state } = await engine.call("inspect a container", (docker) =>
    docker.getContainer(containerId).inspect(),
  );
  return Date.parse(state.FinishedAt) <= Date.parse(atEnd ?? "");
}

const FIRST_PAUSE_MS = 100;
const QUICK_END_MS = 100;
const SLOW_END_MS = 5_000;
const LONGEST_PAUSE_MS = 5_000;

function sinkFailure(sink: OutputSink): AbortSignal {
  const failed = new AbortController();
  for (const stream of [sink.stdout, sink.stderr]) {
    stream.once("error", (error) => failed.abort(error));
  }
  return failed.signal;
}

/** Waits for the rest of the output of a container that has ended; a stream that stays silent and open is given up. */
async function drained(output: Promise<void>, socket: Duplex, delivered: OutputCount, sleep: Sleep): Promise<void> {
  for (let silentRounds = 0; ;) {
    const before = delivered.stdout + delivered.stderr;
    if (await settlesWithin(output, DRAIN_ROUND_MS, sleep)) break;
    silentRounds = delivered.stdout + delivered.stderr > before ? 0 : silentRounds + 1;
    // Now the rest comes from the log.
    if (silentRounds === SILENT_DRAIN_ROUNDS) socket.destroy(new Error("the container has ended, its stream has not"));
  }
  await output;
}

const DRAIN_ROUND_MS = 1_000;
const SILENT_DRAIN_ROUNDS = 5;

/** Time for the news of the end to come by itself. */
const SILENCE_GRACE_MS = 2_000;

/** The second line of defence, should the connection be dead in spite of all probes. */
async function watchSilence(
  options: StageOptions,
  over: AbortSignal,
  breakConnections: (reason: Error) => void,
): Promise<void> {
  const { engine, containerId, containerName, silenceCheckMs, delivered, sleep } = options;
  if (silenceCheckMs <= 0) return;
  try {
    for (;;) {
      const before = delivered.stdout + delivered.stderr;
      await sleep(silenceCheckMs, over);
      if (delivered.stdout + delivered.stderr > before) continue;
      const isRunning = await engine
        .call("inspect a container", (docker) => docker.getContainer(containerId).inspect())
        .then(({ State: state }) => state.Running)
        .catch((error: unknown) => !isMissing(error));
      if (isRunning) continue;
      await sleep(SILENCE_GRACE_MS, over);
      breakConnections(new Error(`the container ${containerName} has ended unnoticed`));
    }
  } catch {
    // The stage is over.
  }
}
