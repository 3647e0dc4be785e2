import type { IncomingMessage, ServerResponse } from "node:http";
import { viaHeader } from "./loops.ts";
import type { RegistryMirror } from "./registry-mirror.ts";
import { errorResponse } from "./serving/messages.ts";
import type { MirrorResponse } from "./serving/messages.ts";
import type { Body } from "./storage/body.ts";

export interface NodeListenerOptions {
  /** Id of the registry that names without a host belong to on this address. @default that of the mirror */
  readonly entry?: string;
  /** Host of the registry that clients believe to talk to here. @default they talk to the mirror */
  readonly registry?: string;
  /** How long a client may take nothing of a body. @default 300000 */
  readonly clientIdleMs?: number;
}

/**
 * Makes a listener for a server of `node:http` or `node:https`. The request target goes to the mirror as it came, and a
 * body that cannot be finished ends in a reset connection.
 *
 * The server's `keepAliveTimeout` should be above 65 seconds: clients and load balancers use connections for that long.
 */
export function createNodeListener(
  mirror: Pick<RegistryMirror, "answer">,
  options: NodeListenerOptions = {},
): (request: IncomingMessage, response: ServerResponse) => void {
  const { clientIdleMs = 300_000, entry, registry } = options;
  const place = { ...(entry === undefined ? {} : { entry }), ...(registry === undefined ? {} : { registry }) };
  return (request, response) => {
    const answer = (signal: AbortSignal): Promise<MirrorResponse> =>
      mirror.answer({
        method: request.method ?? "GET",
        target: request.url ?? "/",
        headers: headersOf(request),
        signal,
        ...place,
      });
    void respond(answer, request, response, clientIdleMs);
  };
}

/** Sends what a mirror answers. */
export async function respond(
  answerFor: (signal: AbortSignal) => Promise<MirrorResponse>,
  request: IncomingMessage,
  response: ServerResponse,
  clientIdleMs: number,
): Promise<void> {
  const gone = new AbortController();
  response.once("close", () => gone.abort(clientGone));
  // A client that leaves in the middle is nobody's failure.
  response.on("error", () => {});
  let answer: MirrorResponse;
  try {
    answer = namesSeveralHosts(request) ? severalHosts() : await answerFor(gone.signal);
  } catch {
    if (gone.signal.aborted) return;
    answer = errorResponse(500, "UNKNOWN", "the mirror cannot answer this request");
  }
  const { body, headers, status } = answer;
  if (gone.signal.aborted) {
    if (body !== undefined && !(body instanceof Uint8Array)) await body.return();
    return;
  }
  // What a refused client still sends is not read.
  const isUnread = request.method !== "GET" && request.method !== "HEAD";
  response.writeHead(status, isUnread ? { ...headers, connection: "close" } : headers);
  if (body === undefined || body instanceof Uint8Array) {
    response.end(body);
    return;
  }
  response.setTimeout(clientIdleMs, () => response.destroy());
  await sendBody(body, response);
}

/**
 * Whether a request names its host more than once: another program on the way may believe another one of them.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9112#section-3.2
 */
export function namesSeveralHosts({ headersDistinct }: IncomingMessage): boolean {
  return (headersDistinct["host"]?.length ?? 0) > 1;
}

function severalHosts(): MirrorResponse {
  return errorResponse(400, "UNSUPPORTED", "the request names its host more than once (Host)");
}

async function sendBody(body: Body, response: ServerResponse): Promise<void> {
  // Also while a piece is awaited that does not come.
  response.once("close", () => void body.return());
  try {
    for await (const chunk of body) {
      if (response.destroyed) return;
      await written(response, chunk);
    }
    response.end();
  } catch {
    // The client must not take what it has for everything.
    response.destroy();
  }
}

/** Until the piece has been handed over to the system, so that its memory is free; or until nobody reads any more. */
function written(response: ServerResponse, chunk: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      response.off("close", done);
      resolve();
    };
    response.once("close", done);
    response.write(chunk, done);
    if (response.destroyed) done();
  });
}

function headersOf({ headers }: IncomingMessage): Readonly<Record<string, string | undefined>> {
  const joined: Record<string, string | undefined> = {};
  for (const name of usedHeaders) {
    const value = headers[name];
    if (value !== undefined) joined[name] = typeof value === "string" ? value : value.join(", ");
  }
  return joined;
}

const usedHeaders = ["accept", "authorization", "if-none-match", "if-range", "range", viaHeader] as const;
const clientGone = new Error("the client is gone");
