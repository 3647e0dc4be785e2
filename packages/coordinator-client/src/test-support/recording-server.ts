import { createServer } from "node:http";
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface RecordedRequest {
  readonly method: string;
  /** Path with query, as sent. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** Remote port: tells connections apart. */
  readonly connection: number | undefined;
}

export interface Reply {
  readonly status: number;
  /** An array sends the header several times. */
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  /** Objects go out as JSON with its media type. */
  readonly body?: string | Buffer | object;
}

/** Instead of a reply: does what it likes with the connection. */
export type RawReply = (request: IncomingMessage, response: ServerResponse) => void;

export interface RecordingServer {
  readonly url: string;
  readonly requests: readonly RecordedRequest[];
  /** Resolves when a connection is closed, by either side. */
  closed(connection: number | undefined): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * A real HTTP server that answers the first request with the first reply and so on; the last reply repeats.
 */
export async function startServer(...replies: readonly (Reply | RawReply)[]): Promise<RecordingServer> {
  const requests: RecordedRequest[] = [];
  const open = new Map<number | undefined, Promise<void>>();
  let arrived = 0;
  const server = createServer((request, response) => {
    const reply = replies[Math.min(arrived, replies.length - 1)] ?? { status: 500 };
    arrived += 1;
    if (typeof reply === "function") {
      requests.push(recorded(request, Buffer.alloc(0)));
      reply(request, response);
      return;
    }
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      requests.push(recorded(request, Buffer.concat(chunks)));
      send(response, reply);
    });
  });
  server.on("connection", (socket) => {
    open.set(
      socket.remotePort,
      new Promise((resolve) => {
        socket.once("close", () => resolve());
      }),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    closed: async (connection) => await open.get(connection),
    async [Symbol.asyncDispose]() {
      const closed = new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
      server.closeAllConnections();
      await closed;
    },
  };
}

/** Resets the connection as soon as the request arrived. */
export const resetConnection: RawReply = (request) => {
  request.socket.resetAndDestroy();
};

function recorded(request: IncomingMessage, body: Buffer): RecordedRequest {
  const { method = "", url = "", headers, socket } = request;
  return { method, path: url, headers, body, connection: socket.remotePort };
}

function send(response: ServerResponse, reply: Reply): void {
  const { status, headers = {}, body = "" } = reply;
  const json = typeof body === "object" && !Buffer.isBuffer(body);
  if (json) {
    response.setHeader("content-type", "application/json");
  }
  for (const [name, value] of Object.entries(headers)) {
    response.setHeader(name, value);
  }
  response.writeHead(status);
  response.end(json ? JSON.stringify(body) : body);
}
