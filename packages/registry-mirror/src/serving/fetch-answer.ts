import type { Clock } from "../clock.ts";
import type { Body } from "../storage/body.ts";
import type { MirrorRequest, MirrorResponse } from "./messages.ts";

export interface FetchAnswerOptions {
  readonly answer: (request: MirrorRequest) => Promise<MirrorResponse>;
  readonly clock: Clock;
  /** How long a body may stay unread until what it holds is let go. */
  readonly idleMs: number;
}

/** Answers a request of `fetch`; rejects with the reason of its signal, which also ends a body that is on its way. */
export async function answerFetch(request: Request, options: FetchAnswerOptions): Promise<Response> {
  const { pathname, search } = new URL(request.url);
  const { method, signal } = request;
  signal.throwIfAborted();
  const headers = Object.fromEntries(request.headers);
  const response = await options.answer({ method, target: `${pathname}${search}`, headers, signal });
  const { body } = response;
  if (signal.aborted) {
    if (body !== undefined && !(body instanceof Uint8Array)) await body.return();
    throw signal.reason;
  }
  const init = { status: response.status, headers: response.headers };
  if (body === undefined) return new Response(null, init);
  if (body instanceof Uint8Array) return new Response(new Uint8Array(body), init);
  return new Response(streamOf(body, signal, options), init);
}

function streamOf(
  body: Body,
  signal: AbortSignal,
  { clock, idleMs }: Pick<FetchAnswerOptions, "clock" | "idleMs">,
): ReadableStream<Uint8Array> {
  const ended = new AbortController();
  let isReading = false;
  let readAtMs = clock.now();
  let onAbort = (): void => {};
  const end = (): void => {
    ended.abort();
    signal.removeEventListener("abort", onAbort);
    void body.return();
  };
  /** A response may be dropped without a word, and its body with it. */
  async function watch(onIdle: () => void): Promise<void> {
    for (let leftMs = idleMs; leftMs > 0; leftMs = isReading ? idleMs : readAtMs + idleMs - clock.now())
      await clock.sleep(leftMs, ended.signal);
    onIdle();
  }
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        const fail = (reason: unknown): void => {
          controller.error(reason);
          end();
        };
        onAbort = () => fail(signal.reason);
        signal.addEventListener("abort", onAbort, { once: true });
        // Rejects when the body ends first, which is the usual case.
        watch(() => fail(new Error("the body was not read for too long"))).catch(() => {});
      },
      async pull(controller) {
        isReading = true;
        try {
          const { value } = await body.next();
          if (ended.signal.aborted) return;
          // Its memory is used again; a reader of this stream keeps what it gets.
          if (value !== undefined) return controller.enqueue(new Uint8Array(value));
          end();
          controller.close();
        } catch (error) {
          end();
          throw error;
        } finally {
          isReading = false;
          readAtMs = clock.now();
        }
      },
      cancel: end,
    },
    { highWaterMark: 0 },
  );
}
