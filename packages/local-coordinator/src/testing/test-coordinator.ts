import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { CoordinatorHandler, LocalCoordinator, LocalCoordinatorOptions } from "../coordinator.ts";
import { createLocalCoordinator, fetchOf } from "../create-coordinator.ts";
import { ConnectionDroppedError, LocalCoordinatorError } from "../errors.ts";
import { coreOf } from "../internals.ts";
import type { StartLocalCoordinatorOptions } from "../server.ts";
import { startLocalCoordinator } from "../server.ts";
import { resolveSettings } from "../settings.ts";
import type { ChooseFault, Fault, FaultSwitches } from "./faults.ts";
import { createFaultSwitches } from "./faults.ts";
import type { MutableRecord, RequestRecord } from "./request-record.ts";
import { recordRequest } from "./request-record.ts";

/** A coordinator with switches for faults and a record of what it was asked. */
export interface TestCoordinator {
  readonly coordinator: LocalCoordinator;
  readonly faults: FaultSwitches;
  /** All requests so far, in order of arrival. */
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
export type TestCoordinatorOptions = Omit<StartLocalCoordinatorOptions, "stateDirectory" | "wrap"> & {
  readonly stateDirectory?: string;
};

/** Makes a coordinator for tests in this process. */
export async function createTestCoordinator(
  options: Omit<TestCoordinatorOptions, "host" | "port" | "tls"> = {},
): Promise<TestCoordinator> {
  return build(options, (complete, wrap) => {
    const coordinator = createLocalCoordinator(complete);
    return Promise.resolve({ coordinator, handle: wrap(coordinator.handle), url: options.url ?? "http://localhost" });
  });
}

/** Makes a coordinator for tests that listens on a port. */
export async function startTestCoordinator(options: TestCoordinatorOptions = {}): Promise<TestCoordinator> {
  return build(options, async (complete, wrap) => {
    let handle: CoordinatorHandler | undefined;
    const started = await startLocalCoordinator({
      ...options,
      ...complete,
      wrap: (inner) => (handle = wrap(inner)),
    });
    return { coordinator: started, handle: handle ?? started.handle, url: started.url };
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
type Opened = { readonly coordinator: LocalCoordinator; readonly handle: CoordinatorHandler; readonly url: string };

async function build(
  options: Omit<TestCoordinatorOptions, "host" | "port" | "tls">,
  open: (options: LocalCoordinatorOptions, wrap: Wrap) => Promise<Opened>,
): Promise<TestCoordinator> {
  const ownDirectory =
    options.stateDirectory === undefined ? await mkdtemp(join(tmpdir(), "fleetfoot-coordinator-")) : undefined;
  const complete = { ...options, stateDirectory: options.stateDirectory ?? ownDirectory ?? "" };
  const { now, sleep } = resolveSettings(complete);
  const { switches, choose } = createFaultSwitches();
  const requests: RequestRecord[] = [];
  const waiting = new Set<(request: RequestRecord) => void>();
  let opened: Opened | undefined;

  const effects = (): Effects => {
    if (opened === undefined) throw new LocalCoordinatorError("closed", "the coordinator is not open yet");
    const { coordinator } = opened;
    return {
      sleep,
      cancel: (jobId, force) => coordinator.cancelJob(jobId, { force }),
      truncate: (jobId, bytes) => truncateStoredTrace(coordinator, jobId, bytes),
    };
  };
  const wrap: Wrap = (handler) => async (incoming, facts) => {
    const { record, request, complete } = recordRequest(incoming, {
      number: requests.length + 1,
      atMs: now(),
      connectionId: facts?.connectionId,
    });
    requests.push(record);
    try {
      const response = await handleWithFault(handler, request, facts, record, choose, effects());
      record.status = response.status;
      return response;
    } finally {
      complete();
      for (const notice of waiting) notice(record);
    }
  };
  opened = await open(complete, wrap);
  const { coordinator, handle, url } = opened;
  const close = async (): Promise<void> => {
    await coordinator.close();
    if (ownDirectory !== undefined) await rm(ownDirectory, { recursive: true, force: true });
  };
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

interface Effects {
  readonly sleep: (milliseconds: number, signal: AbortSignal) => Promise<void>;
  readonly cancel: (jobId: number, force: boolean) => void;
  readonly truncate: (jobId: number, bytes: number) => Promise<void>;
}

async function handleWithFault(
  handler: CoordinatorHandler,
  request: Request,
  facts: Parameters<CoordinatorHandler>[1],
  record: MutableRecord,
  choose: ChooseFault,
  effects: Effects,
): Promise<Response> {
  const fault = choose(record);
  if (fault === undefined) return handler(request, facts);
  record.fault = fault.do;
  const early = await before(fault, request, record, effects).catch((error: unknown) => {
    discard(request);
    throw error;
  });
  if (early !== undefined) {
    discard(request);
    return early;
  }
  const response = await handler(request, facts);
  return after(fault, response, record, effects);
}

/** Tells who sends a body that nobody will read it. */
function discard(request: Request): void {
  request.body?.cancel().catch(() => undefined);
}

/** What happens before the coordinator sees the request; an answer ends it there. */
async function before(
  fault: Fault,
  request: Request,
  record: RequestRecord,
  effects: Effects,
): Promise<Response | undefined> {
  switch (fault.do) {
    case "answer":
      return fault.process === true ? undefined : answerOf(fault);
    case "drop":
      if (fault.at === "before") throw new ConnectionDroppedError();
      return undefined;
    case "delay":
      await effects.sleep(fault.milliseconds, request.signal);
      return undefined;
    case "hold":
      await fault.until;
      return undefined;
    case "cancel":
      if (fault.at === "before") effects.cancel(record.id, fault.force ?? false);
      return undefined;
    case "truncate-trace":
      await effects.truncate(record.id, fault.bytes);
      return undefined;
    case "call":
      if (fault.at === "before") await fault.call(record);
      return undefined;
    default:
      return undefined;
  }
}

/** What happens to the answer that the coordinator gave. */
async function after(fault: Fault, response: Response, record: RequestRecord, effects: Effects): Promise<Response> {
  switch (fault.do) {
    case "answer":
      await response.body?.cancel();
      return answerOf(fault);
    case "headers":
      for (const [name, value] of Object.entries(fault.headers)) response.headers.set(name, value);
      return response;
    case "drop":
      await response.body?.cancel();
      throw new ConnectionDroppedError();
    case "cancel":
      if (fault.at === "after") effects.cancel(record.id, fault.force ?? false);
      return response;
    case "call":
      if (fault.at === "after") await fault.call(record);
      return response;
    default:
      return response;
  }
}

function answerOf({ status, headers = {}, body }: Extract<Fault, { readonly do: "answer" }>): Response {
  return new Response(body ?? null, { status, headers });
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
