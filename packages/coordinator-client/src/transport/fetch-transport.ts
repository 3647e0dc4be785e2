import type { FetchLike } from "../client.ts";
import type { Deadline } from "./deadline.ts";
import { startDeadline } from "./deadline.ts";
import type { BodyReader, Transport, WireRequest, WireResponse } from "./transport.ts";
import { bodyReader, discardBody, headerValue, readAll, unlessAborted } from "./web-body.ts";

/** Requests through anything shaped like `fetch`, for instance the handler of a server in the same process. */
export function createFetchTransport(fetch: FetchLike): Transport {
  return {
    async send(request) {
      const deadline = startDeadline(request.requestTimeoutMs, request.signal);
      const headersTimer = startHeadersTimer(request, deadline);
      try {
        const answered = fetch(toFetchRequest(request, deadline.signal));
        const response = await unlessAborted(answered, deadline.signal).catch((error: unknown) => {
          // A handler that does not look at the signal may still answer.
          answered.then((late) => late.body?.cancel()).catch(ignore);
          throw error;
        });
        return toWireResponse(response, deadline);
      } catch (error) {
        deadline.release();
        throw error;
      } finally {
        clearTimeout(headersTimer);
      }
    },
    certificatesOf: () => undefined,
    async close() {
      // Nothing is held open between requests.
    },
  };
}

/** Nothing tells here when a streamed body has been sent, so only the request as a whole bounds its answer. */
function startHeadersTimer(request: WireRequest, deadline: Deadline): NodeJS.Timeout | undefined {
  const { headersTimeoutMs, body } = request;
  if (typeof body === "function") {
    return undefined;
  }
  return setTimeout(deadline.expire, headersTimeoutMs, `no answer within ${headersTimeoutMs / 1000} s`);
}

function toFetchRequest(request: WireRequest, signal: AbortSignal): Request {
  const { method, origin, path, headers, body } = request;
  return new Request(`${origin}${path}`, {
    method,
    headers,
    // Redirects follow the protocol's rules, not the platform's.
    redirect: "manual",
    signal,
    ...(body === undefined ? {} : { body: typeof body === "function" ? body() : body, duplex: "half" }),
  });
}

function toWireResponse(response: Response, deadline: Deadline): WireResponse {
  const { status, statusText, headers, body } = response;
  const reader = (): BodyReader => bodyReader(body, deadline.signal, deadline.release);
  return {
    status,
    statusText,
    header: (name) => headerValue(headers, name),
    bytes: (maxBytes, maxMs) => readAll(reader(), maxBytes, maxMs),
    reader,
    discard: (signal) => discardBody(reader(), signal),
  };
}

function ignore(): void {
  // Whatever came too late is nobody's.
}
