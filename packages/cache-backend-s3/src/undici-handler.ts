import { Readable } from "node:stream";
import { asSilence, chunksToSend, limitsOfCompletion, silenceLimits } from "@fleetfoot/cache-backend";
import { request } from "undici";
import type { Dispatcher } from "undici";

/** The part of the SDK's request that is sent. */
interface SdkRequest {
  readonly method: string;
  readonly protocol: string;
  readonly hostname: string;
  readonly port?: number | undefined;
  readonly path: string;
  readonly query?: Readonly<Record<string, string | readonly string[] | null>> | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

interface SdkResponse {
  readonly statusCode: number;
  readonly headers: Record<string, string>;
  readonly body: Dispatcher.ResponseData["body"];
}

/** What an SDK client sends its requests with. */
export interface SdkRequestHandler extends Record<string, unknown> {
  readonly metadata: { readonly handlerProtocol: string };
  handle(request: SdkRequest, options?: { readonly abortSignal?: unknown }): Promise<{ response: SdkResponse }>;
  updateHttpClientConfig(): void;
  httpHandlerConfigs(): object;
  destroy(): void;
}

/**
 * Sends the requests of an AWS client through a dispatcher, so that whoever made the dispatcher decides about proxies, and no
 * variable of the environment does.
 *
 * @param idleTimeoutMs - longest silence of a connection
 */
export function undiciHandler(dispatcher: Dispatcher, idleTimeoutMs?: number): SdkRequestHandler {
  const usualLimits = silenceLimits(idleTimeoutMs);
  return {
    metadata: { handlerProtocol: "http/1.1" },
    async handle(order, { abortSignal } = {}) {
      const signal = abortSignal instanceof AbortSignal ? abortSignal : null;
      const limits = putsTogether(order) ? limitsOfCompletion(usualLimits) : usualLimits;
      const { statusCode, headers, body } = await request(urlOf(order), {
        dispatcher,
        method: order.method,
        headers: headersToSend(order.headers),
        body: contentOf(order.body) as Dispatcher.DispatchOptions["body"] & {},
        signal,
        ...limits,
      }).catch((error: unknown) => {
        throw asSilence(error, limits.headersTimeout);
      });
      // The SDK may destroy a body that nobody wants without listening to what the body says to that.
      body.on("error", () => {});
      return { response: { statusCode, headers: flatten(headers), body } };
    },
    updateHttpClientConfig() {},
    httpHandlerConfigs: () => ({}),
    destroy() {},
  };
}

/** Makes a body for a request of the SDK, which takes streams only. */
export function streamToSend(chunks: AsyncIterable<Uint8Array>): Readable {
  const stream = Readable.from(chunks);
  contents.set(stream, chunks);
  return stream;
}

const contents = new WeakMap<object, AsyncIterable<Uint8Array>>();

/** What a body was made of, if the SDK has left it as it was. */
function contentOf(body: unknown): unknown {
  const chunks = typeof body === "object" && body !== null ? contents.get(body) : undefined;
  return chunks === undefined ? (body ?? null) : chunksToSend(chunks);
}

function putsTogether({ method, query = {} }: SdkRequest): boolean {
  return method === "POST" && "uploadId" in query;
}

function urlOf({ protocol, hostname, port, path, query = {} }: SdkRequest): string {
  const parameters = Object.entries(query).flatMap(([name, value]) => {
    if (value === null) return [escape(name)];
    return (typeof value === "string" ? [value] : value).map((one) => `${escape(name)}=${escape(one)}`);
  });
  const search = parameters.length === 0 ? "" : `?${parameters.join("&")}`;
  return `${protocol}//${hostname}${port === undefined ? "" : `:${port}`}${path}${search}`;
}

/** As the signature has it, which escapes more than `encodeURIComponent`. */
function escape(text: string): string {
  return encodeURIComponent(text).replaceAll(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** How the body is framed is the connection's business. */
function headersToSend(headers: Readonly<Record<string, string>>): Record<string, string> {
  const own = new Set(["transfer-encoding", "expect", "connection", "keep-alive"]);
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !own.has(name.toLowerCase())));
}

function flatten(headers: Readonly<Record<string, string | string[] | undefined>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, value?.toString() ?? ""]));
}
