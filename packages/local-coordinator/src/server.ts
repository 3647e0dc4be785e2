import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

import type { CoordinatorHandler, LocalCoordinator, LocalCoordinatorOptions } from "./coordinator.ts";
import { createLocalCoordinator } from "./create-coordinator.ts";
import { ConnectionDroppedError, LocalCoordinatorError } from "./errors.ts";
import { shareCore } from "./internals.ts";
import type { CoordinatorLogger } from "./logger.ts";
import { silentLogger } from "./logger.ts";

export interface StartLocalCoordinatorOptions extends LocalCoordinatorOptions {
  /** @default "127.0.0.1" */
  readonly host?: string;
  /** 0 takes a free one. @default 0 */
  readonly port?: number;
  /** Serves `https` with these PEM texts. */
  readonly tls?: {
    readonly key: string;
    readonly certificate: string;
    /** Clients need a certificate of this authority. */
    readonly clientAuthority?: string;
  };
  /** Goes around the handler, for example to record requests. */
  readonly wrap?: (handler: CoordinatorHandler) => CoordinatorHandler;
}

export interface StartedCoordinator extends LocalCoordinator {
  /** Instance URL for runners, for example `http://127.0.0.1:40123`. */
  readonly url: string;
  readonly port: number;
}

/**
 * Makes a coordinator and lets runners reach it over HTTP.
 *
 * @throws {LocalCoordinatorError} `listen-failed`, and what `createLocalCoordinator` throws
 */
export async function startLocalCoordinator(options: StartLocalCoordinatorOptions): Promise<StartedCoordinator> {
  const { host = "127.0.0.1", port: wantedPort = 0, tls, wrap = (handler) => handler } = options;
  const server = createWebServer(tls);
  await listen(server, host, wantedPort);
  const { port } = server.address() as AddressInfo;
  const shownHost = host.includes(":") ? `[${host}]` : host;
  const url = `${tls === undefined ? "http" : "https"}://${shownHost}:${port}`;
  let coordinator: LocalCoordinator;
  try {
    coordinator = createLocalCoordinator({ url, ...options });
  } catch (error) {
    server.close();
    throw error;
  }
  serve(server, wrap(coordinator.handle), url, options.logger ?? silentLogger);
  const close = async (): Promise<void> => {
    await coordinator.close();
    const { promise, resolve } = Promise.withResolvers<void>();
    server.close(() => resolve());
    server.closeIdleConnections();
    // Whoever keeps a connection busy now has been answered by a closed coordinator.
    setImmediate(() => server.closeAllConnections());
    await promise;
  };
  const started = Object.defineProperties({} as StartedCoordinator, {
    ...Object.getOwnPropertyDescriptors(coordinator),
    url: { value: url, enumerable: true },
    port: { value: port, enumerable: true },
    close: { value: close, enumerable: true },
    [Symbol.asyncDispose]: { value: close },
  });
  shareCore(coordinator, started);
  return started;
}

function createWebServer(tls: StartLocalCoordinatorOptions["tls"]): Server {
  // A runner's upload may take as long as it takes; a runner that polls every few seconds keeps its connection.
  const timeouts = { requestTimeout: 0, keepAliveTimeout: 75_000 };
  if (tls === undefined) return createServer(timeouts);
  const { key, certificate: cert, clientAuthority } = tls;
  const clients =
    clientAuthority === undefined ? {} : { ca: clientAuthority, requestCert: true, rejectUnauthorized: true };
  return createTlsServer({ ...timeouts, key, cert, ...clients });
}

async function listen(server: Server, host: string, port: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.listen(port, host, () => resolve());
  try {
    await promise;
  } catch (error) {
    throw new LocalCoordinatorError("listen-failed", `cannot listen on ${host}:${port}`, { cause: error });
  }
  server.off("error", reject);
}

function serve(server: Server, handler: CoordinatorHandler, url: string, logger: CoordinatorLogger): void {
  const connectionIds = new WeakMap<object, string>();
  let connections = 0;
  server.on("request", (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const connectionId = connectionIds.get(incoming.socket) ?? String(++connections);
    connectionIds.set(incoming.socket, connectionId);
    const gone = new AbortController();
    outgoing.once("close", () => {
      if (!outgoing.writableFinished) gone.abort(new Error("the client went away"));
    });
    const chunks = incoming.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer>;
    const answered = handler(toRequest(incoming, chunks, url, gone), { connectionId }).then((response) =>
      send(response, outgoing),
    );
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
}

function toRequest(
  incoming: IncomingMessage,
  chunks: AsyncIterator<Buffer>,
  url: string,
  gone: AbortController,
): Request {
  const { method = "GET", rawHeaders } = incoming;
  const headers = new Headers();
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) headers.append(rawHeaders[at] ?? "", rawHeaders[at + 1] ?? "");
  const hasBody = method !== "GET" && method !== "HEAD";
  return new Request(new URL(incoming.url ?? "/", url), {
    method,
    headers,
    signal: gone.signal,
    ...(hasBody ? { body: bodyOf(chunks, gone), duplex: "half" } : {}),
  });
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
