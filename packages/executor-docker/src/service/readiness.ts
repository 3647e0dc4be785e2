import { connect } from "node:net";

import { demultiplex } from "../engine/demultiplex.ts";
import type { Engine } from "../engine/engine.ts";
import { TextSink } from "../engine/text-sink.ts";
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

/**
 * Waits until a service can be used: its image's own HEALTHCHECK decides, else one of its ports has to be listened on.
 *
 * @returns undefined when it is ready, else why not
 * @throws `signal.reason`
 */
export async function awaitReadiness(options: ReadinessOptions): Promise<string | undefined> {
  const { hasHealthCheck, ports, timeoutMs, sleep, now, signal } = options;
  if (!hasHealthCheck && ports.length === 0) return "it has no exposed ports";
  const deadline = now() + timeoutMs;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    signal.throwIfAborted();
    const asking = ask(options);
    // An engine under load, or a service that takes all of its machine, may not answer at all.
    const pause: Sleep = (ms, over = signal) => sleep(ms, AbortSignal.any([over, signal]));
    const answered = await settlesWithin(asking, Math.max(deadline - now(), SHORTEST_QUESTION_MS), pause);
    asking.catch(() => undefined);
    signal.throwIfAborted();
    const state = answered ? await asking : "starting";
    if (state === "ready") return undefined;
    if (state !== "starting") return state;
    if (now() >= deadline) {
      return hasHealthCheck
        ? `it is not healthy after ${timeoutMs / 1_000} s`
        : `nothing listens on port ${ports.join(", ")} after ${timeoutMs / 1_000} s`;
    }
    await sleep(pauseMs, signal);
  }
}

const SHORTEST_QUESTION_MS = 1_000;
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 1_000;

/** @returns "ready", "starting", or why it never will be ready */
async function ask(options: ReadinessOptions): Promise<string> {
  const { engine, containerId, hasHealthCheck } = options;
  const { State: state } = await engine.call("inspect a service", (docker) =>
    docker.getContainer(containerId).inspect(),
  );
  if (!state.Running) return `it has ended with exit code ${state.ExitCode}`;
  if (hasHealthCheck) {
    if (state.Health?.Status === "unhealthy") return "its health check fails";
    return state.Health?.Status === "healthy" ? "ready" : "starting";
  }
  const listening = await listeningPorts(options);
  if (listening !== undefined) return options.ports.some((port) => listening.has(port)) ? "ready" : "starting";
  const { address } = options;
  if (address === undefined)
    return "ready-unknown: the image has no program to look, and the engine is not on this host";
  const answers = await Promise.all(options.ports.map((port) => answersAt(address, port)));
  return answers.includes(true) ? "ready" : "starting";
}

/** Asked inside of the container, which works for engines anywhere. Undefined when there is no program to ask with. */
async function listeningPorts({ engine, containerId }: ReadinessOptions): Promise<ReadonlySet<number> | undefined> {
  try {
    return await engine.call("look at a service", async (docker) => {
      const exec = await docker.getContainer(containerId).exec({
        Cmd: ["cat", "/proc/net/tcp", "/proc/net/tcp6"],
        AttachStdout: true,
        AttachStderr: true,
      });
      const stream = await exec.start({ hijack: true, stdin: false });
      const text = new TextSink();
      await demultiplex(stream, { stdout: text, stderr: new TextSink() }, { stdout: 0, stderr: 0 });
      // Without IPv6 the second file is missing, which is an error of cat's only.
      return text.text.includes("local_address") ? parseListeners(text.text) : undefined;
    });
  } catch {
    return undefined;
  }
}

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
