import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

import type { CoordinatorHandler } from "../coordinator.ts";
import { ConnectionDroppedError } from "../errors.ts";
import type { CoordinatorLogger } from "../logger.ts";

/**
 * Answers the requests of a server of `node:http` or `node:https` with a handler.
 *
 * @returns what is being answered; each ends when its answer is sent or cannot be
 */
export function answerRequests(
  server: Server,
  handler: CoordinatorHandler,
  logger: CoordinatorLogger,
): ReadonlySet<Promise<void>> {
  const answering = new Set<Promise<void>>();
  const connectionIds = new WeakMap<object, string>();
  let connections = 0;
  server.on("request", (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const connectionId = connectionIds.get(incoming.socket) ?? String(++connections);
    connectionIds.set(incoming.socket, connectionId);
    const gone = new AbortController();
    const chunks = incoming.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer>;
    const request = toRequest(incoming, chunks, gone);
    if (request === undefined) {
      outgoing.writeHead(400, { Connection: "close" }).end();
      return;
    }
    const { promise: over, resolve: end } = Promise.withResolvers<void>();
    answering.add(over);
    outgoing.once("close", () => {
      answering.delete(over);
      end();
      if (!outgoing.writableFinished) gone.abort(new Error("the client went away"));
    });
    const answered = handler(request, { connectionId }).then((response) => send(response, outgoing));
    answered.then(
      () => discardRest(incoming, chunks),
      (error: unknown) => {
        if (error instanceof ConnectionDroppedError) {
          cut(incoming);
        } else if (!gone.signal.aborted) {
          logger.error("request failed", { method: incoming.method, error: String(error) });
          fail(outgoing);
        }
      },
    );
  });
  return answering;
}

/** Undefined for what HTTP allows and a `Request` does not: a target that is no URL, or the method TRACE. */
function toRequest(
  incoming: IncomingMessage,
  chunks: AsyncIterator<Buffer>,
  gone: AbortController,
): Request | undefined {
  const { method = "GET", rawHeaders, url: target = "/" } = incoming;
  const hasBody = method !== "GET" && method !== "HEAD";
  try {
    const headers = new Headers();
    for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
      headers.append(rawHeaders[at] ?? "", rawHeaders[at + 1] ?? "");
    }
    return new Request(new URL(target.startsWith("/") ? `http://localhost${target}` : target), {
      method,
      headers,
      signal: gone.signal,
      ...(hasBody ? { body: bodyOf(chunks, gone), duplex: "half" } : {}),
    });
  } catch {
    return undefined;
  }
}

/** Cancelling it does no harm to the connection, on which the answer is still to be sent. */
function bodyOf(chunks: AsyncIterator<Buffer>, gone: AbortController): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        const { done, value } = await chunks.next().catch((error: unknown) => {
          gone.abort(error);
          throw error;
        });
        if (done === true) controller.close();
        else controller.enqueue(value);
      },
    },
    { highWaterMark: 0 },
  );
}

/** What nobody read of a body has to go, or the connection could not be used again. */
function discardRest(incoming: IncomingMessage, chunks: AsyncIterator<Buffer>): void {
  const ended = chunks.return?.() ?? Promise.resolve();
  ended.then(
    () => incoming.resume(),
    // The client went away, and the connection with it.
    () => undefined,
  );
}

async function send(response: Response, outgoing: ServerResponse): Promise<void> {
  outgoing.writeHead(response.status, [...response.headers].flat());
  if (response.body === null) {
    outgoing.end();
  } else if (Number(response.headers.get("content-length") ?? Number.POSITIVE_INFINITY) <= atOnceBytes) {
    outgoing.end(Buffer.from(await response.arrayBuffer()));
  } else {
    // The first byte of the body may be long in coming.
    outgoing.flushHeaders();
    await pipeline(Readable.fromWeb(response.body), outgoing);
  }
}

/** Larger bodies, and those of unknown size, are streamed. */
const atOnceBytes = 64 * 1024;

function cut(incoming: IncomingMessage): void {
  incoming.socket.resetAndDestroy();
}

function fail(outgoing: ServerResponse): void {
  if (outgoing.headersSent) outgoing.destroy();
  else outgoing.writeHead(500).end();
}
