import type { CoordinatorHandler } from "../coordinator.ts";
import { ConnectionDroppedError } from "../errors.ts";
import type { AnswerFault, Fault } from "./fault.ts";
import type { RequestRecord } from "./request-record.ts";

/** What faults can do to the coordinator and to time. */
export interface FaultEffects {
  /** Epoch milliseconds. */
  readonly now: () => number;
  readonly sleep: (milliseconds: number, signal: AbortSignal) => Promise<void>;
  readonly cancel: (jobId: number, force: boolean) => void;
  /** Cuts the stored log; `unknown-job` rejects. */
  readonly truncate: (jobId: number, bytes: number) => Promise<void>;
  /** Size of the stored log; undefined unless a runner works on the job. */
  readonly storedBytes: (jobId: number) => number | undefined;
}

/** Lets the handler answer a request that meets a fault. */
export async function handleWithFault(
  fault: Fault,
  handler: CoordinatorHandler,
  request: Request,
  facts: Parameters<CoordinatorHandler>[1],
  record: RequestRecord,
  effects: FaultEffects,
): Promise<Response> {
  const early = await before(fault, request, record, effects).catch((error: unknown) => {
    discard(request);
    throw error;
  });
  if (early !== undefined) {
    discard(request);
    return early;
  }
  const response = await handler(request, facts);
  return after(fault, request, response, record, effects);
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
  effects: FaultEffects,
): Promise<Response | undefined> {
  switch (fault.do) {
    case "answer":
      return fault.process === true ? undefined : answerOf(fault, effects);
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
    case "shorten-trace": {
      // The log of a job that is over is the result and not to be harmed.
      const stored = effects.storedBytes(record.id);
      if (stored !== undefined) await effects.truncate(record.id, Math.floor(stored * fault.keep));
      return undefined;
    }
    case "reject-trace":
      if (effects.storedBytes(record.id) === undefined) return undefined;
      await effects.truncate(record.id, 0);
      return new Response(null, { status: 412 });
    case "call":
      if (fault.at === "before") await fault.call(record);
      return undefined;
    default:
      return undefined;
  }
}

/** What happens to the answer that the coordinator gave. */
async function after(
  fault: Fault,
  request: Request,
  response: Response,
  record: RequestRecord,
  effects: FaultEffects,
): Promise<Response> {
  switch (fault.do) {
    case "answer":
      await response.body?.cancel();
      return answerOf(fault, effects);
    case "headers":
      for (const [name, value] of Object.entries(fault.headers)) response.headers.set(name, value);
      return response;
    case "drop":
      await response.body?.cancel();
      throw new ConnectionDroppedError();
    case "stall":
      return stall(fault, request, response, effects);
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

function answerOf(fault: AnswerFault, { now }: FaultEffects): Response {
  const { status, body, bodyEnd = "complete" } = fault;
  const headers = typeof fault.headers === "function" ? fault.headers(now()) : (fault.headers ?? {});
  if (bodyEnd === "complete") return new Response(body ?? null, { status, headers });
  const piece = Buffer.from(body ?? "x".repeat(endlessPieceBytes));
  const endless = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(new Uint8Array(piece)),
    pull: (controller) => {
      if (bodyEnd === "endless") controller.enqueue(new Uint8Array(piece));
    },
  });
  return new Response(endless, { status, headers });
}

async function stall(
  { afterBytes = 0, milliseconds }: Extract<Fault, { readonly do: "stall" }>,
  request: Request,
  response: Response,
  effects: FaultEffects,
): Promise<Response> {
  const patience = new AbortController();
  const over = async (): Promise<never> => {
    const signal = AbortSignal.any([request.signal, patience.signal]);
    await (milliseconds === undefined ? untilAborted(signal) : effects.sleep(milliseconds, signal));
    throw new ConnectionDroppedError();
  };
  const content = Buffer.from(await response.arrayBuffer());
  if (bodilessStatuses.has(response.status)) return over();
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => {
      if (afterBytes > 0) controller.enqueue(new Uint8Array(content.subarray(0, afterBytes)));
      over().catch((error: unknown) => controller.error(error));
    },
    cancel: (reason) => patience.abort(reason),
  });
  const headers = new Headers(response.headers);
  headers.delete("content-length");
  return new Response(body, { status: response.status, headers });
}

async function untilAborted(signal: AbortSignal): Promise<never> {
  signal.throwIfAborted();
  const { promise, reject } = Promise.withResolvers<never>();
  signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  return promise;
}

const endlessPieceBytes = 16 * 1024;

/** @see https://fetch.spec.whatwg.org/#null-body-status */
const bodilessStatuses: ReadonlySet<number> = new Set([101, 103, 204, 205, 304]);
