import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { SystemStartError } from "./errors.ts";
import { createDataFolder } from "./folders.ts";
import { findFreePort, listensOn } from "./ports.ts";
import { reportSystem } from "./report.ts";
import { supervise } from "./supervise.ts";
import type { SupervisorOrder } from "./supervise.ts";

/** A system that runs until it is disposed of, or until this process ends. */
export interface RunningSystem extends AsyncDisposable {
  /** Name, as the report lists it. */
  readonly system: string;
  readonly version: string;
  /** Process id of the system's first process. */
  readonly processId: number;
  /** Data folder; gone after `stop`. */
  readonly folder: string;
  /** What the system printed so far; lies in the data folder. */
  readonly logFile: string;
  /** Kills the system with all its processes and removes its data folder. The same as disposing. */
  stop(): Promise<void>;
}

/** How to start a system. */
export interface StartOrder {
  readonly system: string;
  readonly version: string;
  /** What to start, given the data folder and a port to listen on. */
  readonly order: (place: Place) => Omit<SupervisorOrder, "folder"> | Promise<Omit<SupervisorOrder, "folder">>;
  /** Address that the port is taken from. @default "127.0.0.1" */
  readonly host?: string;
  /** Whether the system listens on the port it got; if not, `isReady` alone decides. @default true */
  readonly usesPort?: boolean;
  /** Asks the system whether it serves; a rejection counts as "not yet". Called again and again. */
  readonly isReady: (place: Place) => Promise<boolean>;
  /** @default 60000 */
  readonly startDeadlineMs?: number;
}

/** Where a system runs. */
export interface Place {
  readonly folder: string;
  readonly host: string;
  readonly port: number;
}

const portAttempts = 5;
const pollIntervalMs = 25;

/**
 * Starts a system, waits until it serves, and reports it.
 *
 * @throws {SystemStartError} it ended or did not serve in time; the message ends with its log's last lines
 */
export async function startSystem(start: StartOrder): Promise<RunningSystem & Place> {
  for (let attempt = 1; ; attempt += 1) {
    const result = await tryStart(start);
    if (result !== "port taken") {
      reportSystem(start.system, start.version);
      return result;
    }
    if (attempt === portAttempts) throw new SystemStartError(start.system, `${portAttempts} ports were taken`, "");
  }
}

async function tryStart(start: StartOrder): Promise<(RunningSystem & Place) | "port taken"> {
  const { host = "127.0.0.1", usesPort = true, startDeadlineMs = 60_000 } = start;
  const folder = await createDataFolder(start.system);
  const logFile = join(folder, "system.log");
  await writeFile(logFile, "");
  const place: Place = { folder, host, port: usesPort ? await findFreePort(host) : 0 };
  const supervised = await supervise({ folder, ...(await start.order(place)) }, logFile);
  const deadline = performance.now() + startDeadlineMs;

  while (!(await isReady(start, place, usesPort ? supervised.processId : undefined))) {
    const endedHow = supervised.endedHow();
    const late = performance.now() > deadline;
    if (endedHow !== undefined || late) {
      const log = await readFile(logFile, "utf8");
      await supervised.stop();
      if (usesPort && /address already in use|EADDRINUSE/i.test(log)) return "port taken";
      throw new SystemStartError(start.system, endedHow ?? `it does not serve after ${startDeadlineMs} ms`, tail(log));
    }
    await sleep(pollIntervalMs);
  }
  return {
    ...place,
    system: start.system,
    version: start.version,
    processId: supervised.processId,
    logFile,
    stop: () => supervised.stop(),
    [Symbol.asyncDispose]: () => supervised.stop(),
  };
}

async function isReady(start: StartOrder, place: Place, listener: number | undefined): Promise<boolean> {
  try {
    return (await start.isReady(place)) && (listener === undefined || (await listensOn(listener, place.port)));
  } catch {
    // Connection refused: it does not listen yet. The log says why, should the deadline pass.
    return false;
  }
}

function tail(log: string): string {
  return log.split("\n").slice(-40).join("\n");
}
