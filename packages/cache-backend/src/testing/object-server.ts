import { createHash } from "node:crypto";
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";

/** A request as it came over the wire. */
export interface RecordedRequest {
  readonly method: string;
  /** Decoded, without the leading slash. */
  readonly name: string;
  readonly headers: Readonly<Record<string, string | undefined>>;
}

/** An object that the server holds. */
export interface ServedObject {
  readonly content: Uint8Array;
  readonly modifiedAtMs: number;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface ObjectServerOptions {
  /** Called for each request before it is served; answers it itself when it returns true. @default serves all */
  readonly intercept?: (request: RecordedRequest, response: ServerResponse, incoming: IncomingMessage) => boolean;
  /** Epoch milliseconds. @default Date.now */
  readonly now?: () => number;
}

/** A small object server with the HTTP that stores have in common, to see what crosses the wire. */
export interface ObjectServer {
  readonly url: string;
  /** In the order of their arrival. */
  readonly requests: readonly RecordedRequest[];
  /** Name to object; tests may change it. */
  readonly objects: Map<string, ServedObject>;
  close(): Promise<void>;
}

/** Starts the server on a free port of the loopback interface. */
export async function startObjectServer(options: ObjectServerOptions = {}): Promise<ObjectServer> {
  const { intercept = () => false, now = Date.now } = options;
  const objects = new Map<string, ServedObject>();
  const requests: RecordedRequest[] = [];
  const server = createServer((incoming, response) => {
    const request = recorded(incoming);
    requests.push(request);
    if (intercept(request, response, incoming)) return;
    serve({ request, incoming, response, objects, now }).catch((error: unknown) => {
      // A client that went away in the middle of its upload leaves nothing behind, and needs no answer.
      response.destroy(error instanceof Error ? error : undefined);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: urlOf(server), requests, objects, close: () => close(server) };
}

/** The tag that the server gives to content. */
function entityTag(object: ServedObject): string {
  return `"${createHash("md5").update(object.content).digest("hex")}"`;
}

interface Exchange {
  readonly request: RecordedRequest;
  readonly incoming: IncomingMessage;
  readonly response: ServerResponse;
  readonly objects: Map<string, ServedObject>;
  readonly now: () => number;
}

async function serve(exchange: Exchange): Promise<void> {
  const { request, incoming, response } = exchange;
  const { searchParams } = new URL(incoming.url ?? "/", "http://localhost");
  const wanted = [searchParams.get("only") ?? request.method, searchParams.get("of") ?? request.name];
  if (wanted[0] !== request.method || wanted[1] !== request.name) {
    response.writeHead(403).end();
    return undefined;
  }
  switch (request.method) {
    case "PUT":
      return store(exchange);
    case "GET":
      return request.name === "" ? list(exchange) : send(exchange);
    case "HEAD":
      return send(exchange);
    case "DELETE":
      return remove(exchange);
    default:
      response.writeHead(405).end();
      return undefined;
  }
}

function remove({ request, response, objects }: Exchange): void {
  const current = objects.get(request.name);
  const wanted = request.headers["if-match"];
  if (wanted !== undefined && current !== undefined && entityTag(current) !== wanted) {
    response.writeHead(412).end();
    return;
  }
  response.writeHead(objects.delete(request.name) ? 204 : 404).end();
}

async function store({ request, incoming, response, objects, now }: Exchange): Promise<void> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Uint8Array);
  const current = objects.get(request.name);
  const { "if-match": wanted, "if-none-match": unwanted } = request.headers;
  const matches = wanted === undefined || (current !== undefined && entityTag(current) === wanted);
  if (!matches || (unwanted === "*" && current !== undefined)) {
    response.writeHead(412).end();
    return;
  }
  const metadata = Object.entries(request.headers).flatMap(([name, value]) =>
    name.startsWith("x-test-meta-") && value !== undefined ? [[name.slice("x-test-meta-".length), value]] : [],
  );
  const modifiedAtMs = Math.floor(now() / 1000) * 1000;
  const object = {
    content: Buffer.concat(chunks),
    modifiedAtMs,
    metadata: Object.fromEntries(metadata) as Record<string, string>,
  };
  objects.set(request.name, object);
  response.writeHead(200, factsOf(object)).end();
}

function send({ request, response, objects }: Exchange): void {
  const object = objects.get(request.name);
  if (object === undefined) {
    response.writeHead(404).end();
    return;
  }
  const total = object.content.byteLength;
  const headers = { ...factsOf(object), "content-length": String(total) };
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers["range"] ?? "") ?? [];
  if (first === undefined || last === undefined) {
    response.writeHead(200, headers).end(request.method === "HEAD" ? undefined : object.content);
    return;
  }
  const wanted = request.headers["if-match"];
  const start = Number(first);
  if (wanted !== undefined && wanted !== entityTag(object)) {
    response.writeHead(412).end();
  } else if (start >= total) {
    response.writeHead(416, { ...factsOf(object), "content-range": `bytes */${total}` }).end();
  } else {
    const end = Math.min(Number(last) + 1, total);
    const range = { "content-range": `bytes ${start}-${end - 1}/${total}`, "content-length": String(end - start) };
    response.writeHead(206, { ...headers, ...range }).end(object.content.subarray(start, end));
  }
}

function list({ incoming, response, objects }: Exchange): void {
  const prefix = new URL(incoming.url ?? "/", "http://localhost").searchParams.get("prefix") ?? "";
  const found = [...objects]
    .filter(([name]) => name.startsWith(prefix))
    .map(([name, { content, modifiedAtMs }]) => ({ name, bytes: content.byteLength, modifiedAtMs }))
    .sort((left, right) => Buffer.compare(Buffer.from(left.name), Buffer.from(right.name)));
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(found));
}

function factsOf(object: ServedObject): Record<string, string> {
  const metadata = Object.entries(object.metadata).map(([name, value]) => [`x-test-meta-${name}`, value]);
  return {
    etag: entityTag(object),
    "last-modified": new Date(object.modifiedAtMs).toUTCString(),
    ...Object.fromEntries(metadata),
  };
}

function recorded(incoming: IncomingMessage): RecordedRequest {
  const path = new URL(incoming.url ?? "/", "http://localhost").pathname;
  const headers = Object.entries(incoming.headers).map(([name, value]) => [name, value?.toString()]);
  return {
    method: incoming.method ?? "",
    name: decodeURIComponent(path.slice(1)),
    headers: Object.fromEntries(headers),
  };
}

function urlOf(server: Server): string {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the server does not listen on a port");
  return `http://127.0.0.1:${address.port}/`;
}

async function close(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeAllConnections();
  await closed;
}
