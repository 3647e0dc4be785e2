import { finished } from "node:stream";
import type { Readable } from "node:stream";
import { promisify } from "node:util";
import { createGunzip, gunzip } from "node:zlib";

import type { Dispatcher } from "undici";

import type { ConnectionPool, ConnectionPoolOptions } from "./connection-pool.ts";
import type { Deadline } from "./deadline.ts";
import { startDeadline } from "./deadline.ts";
import { readableFrom } from "./request-stream.ts";
import { DISCARD_MAX_BYTES, DISCARD_MAX_MS } from "./transport.ts";
import type { BodyReader, Transport, WireResponse } from "./transport.ts";

export interface SocketTransportOptions extends ConnectionPoolOptions {
  /** Sends the requests and stays open on close. @default an own pool of HTTP/1.1 connections */
  readonly dispatcher?: Dispatcher | undefined;
}

/**
 * Requests over sockets. Uses undici's `request`, which is cheaper per call than its `fetch`.
 *
 * @see coordinator-protocol 1.3
 */
export function createSocketTransport(options: SocketTransportOptions): Transport {
  let opening: Promise<ConnectionPool> | undefined;
  let pool: ConnectionPool | undefined;
  // Loaded with the first request: a program whose coordinator is in its own process never needs it, and it is slow to load.
  const open = (): Promise<ConnectionPool> =>
    (opening ??= import("./connection-pool.ts").then(
      ({ createConnectionPool }) => (pool = createConnectionPool(options)),
    ));
  const ownDispatcher = async (origin: string): Promise<() => Dispatcher> => {
    const own = await open();
    await own.refresh(origin);
    return () => own.dispatcher();
  };
  /** What ends the requests that are under way. */
  const underWay = new Set<Deadline>();
  return {
    async send(request) {
      const given = options.dispatcher;
      const dispatcher = given === undefined ? await ownDispatcher(request.origin) : () => given;
      const { method, origin, path, headers, body, headersTimeoutMs } = request;
      const deadline = startDeadline(request.requestTimeoutMs, request.signal);
      underWay.add(deadline);
      const release = (): void => {
        underWay.delete(deadline);
        deadline.release();
      };
      try {
        const response = await dispatcher().request({
          method,
          origin,
          path,
          headers: { "accept-encoding": "gzip", ...headers },
          body: typeof body === "function" ? readableFrom(body()) : (body ?? null),
          signal: deadline.signal,
          headersTimeout: headersTimeoutMs,
          // The deadline bounds the body as a whole.
          bodyTimeout: 0,
        });
        response.body.once("close", release);
        return toWireResponse(response);
      } catch (error) {
        release();
        throw error;
      }
    },
    certificatesOf: (origin) => pool?.certificatesOf(origin),
    async close({ force = false } = {}) {
      if (options.dispatcher !== undefined) return;
      // Also when there was no request: one that comes now must be refused.
      const own = await open();
      // A pool that is to close when its requests have ended cannot be made to break them any more.
      if (force) for (const deadline of underWay) deadline.expire("the client was closed");
      await own.close({ force });
    },
  };
}

const gunzipBytes = promisify(gunzip);

function toWireResponse(response: Dispatcher.ResponseData): WireResponse {
  const { statusCode, statusText, headers, body } = response;
  // Whoever reads the body learns of its errors; nobody else has to.
  body.on("error", ignore);
  const zipped = headers["content-encoding"] === "gzip";
  return {
    status: statusCode,
    statusText,
    header(name) {
      const value = headers[name];
      // The parser leaves tabs at the end of a value.
      return (typeof value === "string" ? value : value?.[0])?.trim();
    },
    async bytes(maxBytes, maxMs) {
      const bytes = await readAll(body, maxBytes, maxMs);
      if (!zipped || bytes === undefined || bytes.length === 0) {
        return bytes;
      }
      return await gunzipBytes(bytes, { maxOutputLength: maxBytes });
    },
    reader: () => bodyReader(zipped ? unzipped(body) : body),
    discard: (signal) => discard(body, signal),
  };
}

function readAll(body: Readable, maxBytes: number, maxMs: number | undefined): Promise<Uint8Array | undefined> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    const giveUp = (): void => {
      resolve(undefined);
      body.destroy();
    };
    const timer = maxMs === undefined ? undefined : setTimeout(giveUp, maxMs);
    body.on("data", (chunk: Buffer) => {
      length += chunk.length;
      if (length > maxBytes) {
        giveUp();
      } else {
        chunks.push(chunk);
      }
    });
    body.once("end", () => {
      clearTimeout(timer);
      const [only] = chunks;
      resolve(chunks.length === 1 ? only : Buffer.concat(chunks, length));
    });
    body.once("error", (error) => {
      clearTimeout(timer);
      reject(error);
    });
  });
}

function bodyReader(body: Readable): BodyReader {
  const chunks = body[Symbol.asyncIterator]() as AsyncIterator<Uint8Array, undefined>;
  return {
    async read() {
      const { value } = await chunks.next();
      return value;
    },
    cancel() {
      body.destroy();
    },
  };
}

function unzipped(body: Readable): Readable {
  const unzip = createGunzip();
  finished(body, (error) => {
    if (error) {
      unzip.destroy(error);
    }
  });
  finished(unzip, () => body.destroy());
  return body.pipe(unzip);
}

function discard(body: Readable, signal: AbortSignal | undefined): Promise<void> {
  if (body.destroyed) {
    return Promise.resolve();
  }
  return new Promise((resolve) => {
    const drop = (): void => {
      body.destroy();
    };
    const timer = setTimeout(drop, DISCARD_MAX_MS);
    signal?.addEventListener("abort", drop, { once: true });
    let length = 0;
    body.on("data", (chunk: Buffer) => {
      length += chunk.length;
      if (length > DISCARD_MAX_BYTES) {
        drop();
      }
    });
    body.once("close", () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", drop);
      resolve();
    });
  });
}

function ignore(): void {
  // Reported to the reader of the body.
}
