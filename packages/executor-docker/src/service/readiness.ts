import { connect } from "node:net";
import { addAbortSignal } from "node:stream";

import type Dockerode from "dockerode";

import { demultiplex } from "../engine/demultiplex.ts";
import type { Engine } from "../engine/engine.ts";
import { TextSink } from "../engine/text-sink.ts";
import { EngineResponseError } from "../errors.ts";
import { settlesWithin } from "../stage/settle.ts";
import type { Sleep } from "../types.ts";

export interface ReadinessOptions {
  readonly engine: Engine;
  readonly containerId: string;
  readonly hasHealthCheck: boolean;
  /** TCP ports of which one has to answer. */
  readonly ports: readonly number[];
  /** Address of the service, for an engine on this host. */
  readonly address: string | undefined;
  readonly timeoutMs: number;
  readonly sleep: Sleep;
  readonly now: () => number;
  readonly signal: AbortSignal;
}

/** What came of waiting. That nobody can know is no fault of the service. */
export type Readiness =
  | { readonly state: "ready" }
  | {
      readonly state: "failed" | "unknown";
      readonly reason: string;
      /** The last lines that the health check of its image has printed. */
      readonly checkOutput?: readonly string[];
    };

/**
 * Waits until a service can be used: its image's own HEALTHCHECK decides, else one of its ports has to be listened on.
 *
 * @throws {EngineResponseError | EngineUnreachableError} the engine cannot tell
 * @throws `signal.reason`
 */
export async function awaitReadiness(options: ReadinessOptions): Promise<Readiness> {
  const { hasHealthCheck, ports, timeoutMs, sleep, now, signal } = options;
  if (!hasHealthCheck && ports.length === 0) return { state: "failed", reason: "it has no exposed ports" };
  const deadline = now() + timeoutMs;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    signal.throwIfAborted();
    const answer = await askWithin(options, Math.max(deadline - now(), SHORTEST_QUESTION_MS));
    if (answer.state !== "starting") return answer;
    if (now() >= deadline) {
      const reason = hasHealthCheck
        ? `it is not healthy after ${timeoutMs / 1_000} s`
        : `nothing listens on port ${ports.join(", ")} after ${timeoutMs / 1_000} s`;
      return { state: "failed", reason, ...outputOf(answer.lastCheck) };
    }
    await sleep(pauseMs, signal);
  }
}

const SHORTEST_QUESTION_MS = 1_000;
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 1_000;

/** The engine's record of one health check. */
interface HealthCheck {
  readonly ExitCode: number;
  readonly Output: string;
}

interface Starting {
  readonly state: "starting";
  readonly lastCheck?: HealthCheck | undefined;
}

const STARTING: Starting = { state: "starting" };
const MOST_CHECK_LINES = 10;

function outputOf(check: HealthCheck | undefined): { readonly checkOutput?: readonly string[] } {
  const text = check?.Output.trim() ?? "";
  return text === "" ? {} : { checkOutput: text.split("\n").slice(-MOST_CHECK_LINES) };
}

/** An engine under load, or a service that takes all of its machine, may not answer at all. */
async function askWithin(options: ReadinessOptions, limitMs: number): Promise<Readiness | Starting> {
  const { sleep, signal } = options;
  const over = new AbortController();
  const asking = ask(options, AbortSignal.any([over.signal, signal]));
  const pause: Sleep = (ms, settled = signal) => sleep(ms, AbortSignal.any([settled, signal]));
  try {
    const hasAnswered = await settlesWithin(asking, limitMs, pause);
    signal.throwIfAborted();
    return hasAnswered ? await asking : STARTING;
  } finally {
    asking.catch(() => undefined);
    over.abort(new Error("the answer comes too late"));
  }
}

async function ask(options: ReadinessOptions, signal: AbortSignal): Promise<Readiness | Starting> {
  const { engine, containerId, hasHealthCheck } = options;
  const { State: state } = await engine.call(
    "inspect a service",
    (docker) => docker.getContainer(containerId).inspect(),
    { signal },
  );
  if (!state.Running) return { state: "failed", reason: `it has ended with exit code ${state.ExitCode}` };
  if (hasHealthCheck) {
    const { Status: status, Log: checks } = state.Health ?? {};
    // It is missing until the first check has ended.
    const lastCheck = (checks as readonly HealthCheck[] | null | undefined)?.at(-1);
    if (status === "healthy") return { state: "ready" };
    if (status !== "unhealthy") return { state: "starting", lastCheck };
    const code = lastCheck === undefined ? "" : ` with exit code ${lastCheck.ExitCode}`;
    return { state: "failed", reason: `its health check fails${code}`, ...outputOf(lastCheck) };
  }
  const listening = await listeningPorts(options, signal);
  const { address, ports } = options;
  if (listening !== undefined) return ports.some((port) => listening.has(port)) ? { state: "ready" } : STARTING;
  if (address === undefined) {
    return { state: "unknown", reason: "its image has no program to look, and the engine is not on this host" };
  }
  const answers = await Promise.all(ports.map((port) => answersAt(address, port)));
  return answers.includes(true) ? { state: "ready" } : STARTING;
}

/** Asked inside of the container, which works for engines anywhere. Undefined when there is no program to ask with. */
async function listeningPorts(
  { engine, containerId }: ReadinessOptions,
  signal: AbortSignal,
): Promise<ReadonlySet<number> | undefined> {
  const text = new TextSink();
  const look = async (docker: Dockerode, ending: AbortSignal): Promise<void> => {
    const exec = await docker.getContainer(containerId).exec({
      Cmd: ["cat", "/proc/net/tcp", "/proc/net/tcp6"],
      AttachStdout: true,
      AttachStderr: true,
    });
    const stream = await exec.start({ hijack: true, stdin: false });
    addAbortSignal(ending, stream);
    await demultiplex(stream, { stdout: text, stderr: new TextSink() }, { stdout: 0, stderr: 0 });
  };
  try {
    await engine.call("look at a service", look, { signal });
  } catch (error) {
    if (!(error instanceof EngineResponseError)) throw error;
    // It is not running any longer, or not yet; the next question tells.
    if (error.status === CONFLICT) return new Set();
    if (!NO_PROGRAM.test(error.message)) throw error;
  }
  // Without IPv6 the second file is missing, which is an error of cat's only.
  return text.text.includes("local_address") ? parseListeners(text.text) : undefined;
}

const CONFLICT = 409;
const NO_PROGRAM = /executable file not found|no such file/i;

const LISTEN = "0A";
const LOOPBACKS: ReadonlySet<string> = new Set(["0100007F", "00000000000000000000000001000000"]);

/** Ports on which the table of the kernel says that somebody listens for others. @see proc_net_tcp(5) */
export function parseListeners(table: string): ReadonlySet<number> {
  const ports = table.split("\n").flatMap((line) => {
    const [, local = "", , state] = line.trim().split(/\s+/);
    const [address = "", port = ""] = local.split(":");
    return state === LISTEN && !LOOPBACKS.has(address) ? [Number.parseInt(port, 16)] : [];
  });
  return new Set(ports);
}

const CONNECT_LIMIT_MS = 1_000;

function answersAt(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: CONNECT_LIMIT_MS });
    const end = (answer: boolean) => (): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once("connect", end(true)).once("error", end(false)).once("timeout", end(false));
  });
}
