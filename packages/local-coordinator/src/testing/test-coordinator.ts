import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { CoordinatorHandler, LocalCoordinator } from "../coordinator.ts";
import { createLocalCoordinator, fetchOf } from "../create-coordinator.ts";
import { LocalCoordinatorError } from "../errors.ts";
import { coreOf } from "../internals.ts";
import type { StartLocalCoordinatorOptions } from "../server.ts";
import { startLocalCoordinator } from "../server.ts";
import { resolveSettings } from "../settings.ts";
import type { FaultEffects } from "./apply-fault.ts";
import { handleWithFault } from "./apply-fault.ts";
import { describeFault } from "./fault.ts";
import type { FaultSwitches } from "./faults.ts";
import { createFaultSwitches } from "./faults.ts";
import type { RequestRecord } from "./request-record.ts";
import { recordRequest } from "./request-record.ts";

/** A coordinator with switches for faults and a record of what it was asked. */
export interface TestCoordinator {
  readonly coordinator: LocalCoordinator;
  readonly faults: FaultSwitches;
  /** All requests so far, in order of arrival, or the last ones of them. */
  readonly requests: readonly RequestRecord[];
  /** Instance URL; of an in-process one it is only a name. */
  readonly url: string;
  /** Reaches the coordinator through the switches, in this process. */
  readonly fetch: LocalCoordinator["fetch"];
  /** The same as a handler. */
  readonly handle: CoordinatorHandler;
  /** Resolves with the next request for which `matches` holds once it is answered; earlier ones do not count. */
  nextRequest(matches: (request: RequestRecord) => boolean, signal?: AbortSignal): Promise<RequestRecord>;
  /** Closes the coordinator and removes a state directory of its own. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Options of a coordinator for tests; without a state directory it makes a temporary one. */
export interface TestCoordinatorOptions extends Omit<StartLocalCoordinatorOptions, "wrap"> {
  /** How many requests are remembered; the oldest go. @default all */
  readonly maxRequests?: number;
}

/** Makes a coordinator for tests in this process; nothing outlives it. */
export async function createTestCoordinator(
  options: Omit<TestCoordinatorOptions, "host" | "port" | "tls"> = {},
): Promise<TestCoordinator> {
  const own =
    options.stateDirectory === undefined ? await mkdtemp(join(tmpdir(), "fleetfoot-coordinator-")) : undefined;
  return build(options, (wrap) => {
    const coordinator = createLocalCoordinator({ ...options, stateDirectory: options.stateDirectory ?? own ?? "" });
    const close = async (): Promise<void> => {
      await coordinator.close();
      if (own !== undefined) await rm(own, { recursive: true, force: true });
    };
    const url = options.url ?? "http://localhost";
    return Promise.resolve({ coordinator, handle: wrap(coordinator.handle), url, close });
  });
}

/** Makes a coordinator for tests that listens on a port; with a state directory it goes on with what is there. */
export async function startTestCoordinator(options: TestCoordinatorOptions = {}): Promise<TestCoordinator> {
  return build(options, async (wrap) => {
    let handle: CoordinatorHandler | undefined;
    const started = await startLocalCoordinator({ ...options, wrap: (inner) => (handle = wrap(inner)) });
    return { coordinator: started, handle: handle ?? started.handle, url: started.url, close: started.close };
  });
}

/**
 * Cuts the stored log of a job, as a coordinator that lost a part of it.
 *
 * @throws {LocalCoordinatorError} `unknown-job`
 */
export async function truncateStoredTrace(coordinator: LocalCoordinator, jobId: number, bytes: number): Promise<void> {
  const record = coreOf(coordinator)?.jobs.get(jobId);
  if (record === undefined) throw new LocalCoordinatorError("unknown-job", `there is no job ${jobId}`);
  await record.trace.truncate(bytes);
}

type Wrap = (handler: CoordinatorHandler) => CoordinatorHandler;
type Opened = Pick<TestCoordinator, "coordinator" | "handle" | "url" | "close">;

async function build(options: TestCoordinatorOptions, open: (wrap: Wrap) => Promise<Opened>): Promise<TestCoordinator> {
  const { now, sleep } = resolveSettings(options);
  const { switches, choose } = createFaultSwitches();
  const { maxRequests = Number.POSITIVE_INFINITY } = options;
  const requests: RequestRecord[] = [];
  let seen = 0;
  const waiting = new Set<(request: RequestRecord) => void>();
  let opened: Opened | undefined;

  const effects = (): FaultEffects => {
    if (opened === undefined) throw new LocalCoordinatorError("closed", "the coordinator is not open yet");
    const { coordinator } = opened;
    return {
      now,
      sleep,
      cancel: (jobId, force) => coordinator.cancelJob(jobId, { force }),
      truncate: (jobId, bytes) => truncateStoredTrace(coordinator, jobId, bytes),
      storedBytes: (jobId) => {
        const job = coordinator.job(jobId);
        return job?.status === "running" || job?.status === "canceling" ? job.trace.bytes : undefined;
      },
    };
  };
  const wrap: Wrap = (handler) => async (incoming, facts) => {
    const { record, read, complete } = recordRequest(incoming, {
      number: (seen += 1),
      atMs: now(),
      connectionId: facts?.connectionId,
    });
    requests.push(record);
    if (requests.length > maxRequests) requests.shift();
    try {
      const request = await read();
      const fault = choose(record);
      record.fault = fault === undefined ? undefined : describeFault(fault);
      const response = await (fault === undefined
        ? handler(request, facts)
        : handleWithFault(fault, handler, request, facts, record, effects()));
      record.status = response.status;
      return response;
    } finally {
      complete();
      for (const notice of waiting) notice(record);
    }
  };
  opened = await open(wrap);
  const { coordinator, handle, url, close } = opened;
  return {
    coordinator,
    faults: switches,
    requests,
    url,
    handle,
    fetch: fetchOf(handle),
    nextRequest: (matches, signal) => nextMatch(waiting, matches, signal),
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function nextMatch(
  waiting: Set<(request: RequestRecord) => void>,
  matches: (request: RequestRecord) => boolean,
  signal: AbortSignal | undefined,
): Promise<RequestRecord> {
  signal?.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<RequestRecord>();
  const notice = (request: RequestRecord): void => {
    if (matches(request)) resolve(request);
  };
  const aborted = (): void => reject(signal?.reason);
  waiting.add(notice);
  signal?.addEventListener("abort", aborted, { once: true });
  try {
    return await promise;
  } finally {
    waiting.delete(notice);
    signal?.removeEventListener("abort", aborted);
  }
}
