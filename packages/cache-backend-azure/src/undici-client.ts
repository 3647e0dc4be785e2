import type { Readable } from "node:stream";
import { createHttpHeaders } from "@azure/core-rest-pipeline";
import type { HttpClient, PipelineResponse } from "@azure/core-rest-pipeline";
import type { IHttpClient } from "@azure/storage-blob";
import { asSilence, chunksToSend, limitsOfCompletion, silenceLimits } from "@fleetfoot/cache-backend";
import { request } from "undici";
import type { Dispatcher } from "undici";

/** Clients for the two generations of the SDK's plumbing: credentials use the newer, storage the older. */
export interface UndiciClients {
  readonly forCredentials: HttpClient;
  readonly forStorage: IHttpClient;
}

/**
 * Sends the requests of the Azure SDK through a dispatcher, so that whoever made the dispatcher decides about proxies, and no
 * variable of the environment does.
 *
 * @param idleTimeoutMs - longest silence of a connection
 */
export function undiciClients(dispatcher: Dispatcher, idleTimeoutMs?: number): UndiciClients {
  const usualLimits = silenceLimits(idleTimeoutMs);
  const send = async (order: Order): Promise<Answer> => {
    const { method, url, rawHeaders, body, abortSignal, streamResponseStatusCodes } = order;
    const limits = putsTogether(order) ? limitsOfCompletion(usualLimits) : usualLimits;
    const answer = await request(url, {
      dispatcher,
      method,
      headers: withoutFraming(rawHeaders),
      body: (typeof body === "function" ? (body as () => unknown)() : body) as Dispatcher.DispatchOptions["body"] & {},
      signal: abortSignal instanceof AbortSignal ? abortSignal : null,
      ...limits,
    }).catch((error: unknown) => {
      throw asSilence(error, limits.headersTimeout);
    });
    // The SDK destroys a body that nobody wants without listening to what the body says to that.
    answer.body.on("error", () => {});
    const headers = Object.entries(answer.headers).map(([name, value]) => [name, value?.toString() ?? ""] as const);
    const status = answer.statusCode;
    const streams =
      streamResponseStatusCodes?.has(Infinity) === true || streamResponseStatusCodes?.has(status) === true;
    return {
      status,
      headers: Object.fromEntries(headers),
      ...(streams ? { readableStreamBody: answer.body } : { bodyAsText: await answer.body.text() }),
    };
  };
  return {
    forCredentials: {
      async sendRequest(order) {
        const answer = await send({ ...orderOf(order), rawHeaders: order.headers.toJSON() });
        const response: PipelineResponse = { ...answer, request: order, headers: createHttpHeaders(answer.headers) };
        return response;
      },
    },
    forStorage: {
      async sendRequest(order) {
        const { headers, ...answer } = await send({ ...orderOf(order), rawHeaders: order.headers.rawHeaders() });
        if (isFromElsewhere(answer.status, headers)) {
          answer.readableStreamBody?.destroy();
          throw Object.assign(new Error(`status ${answer.status}, and the answer is not from the service`), {
            code: "NOT_FROM_SERVICE",
          });
        }
        // Nothing else of the old headers is looked at on the way to the new ones.
        const old = { toJson: () => headers };
        return { ...answer, request: order, headers: old } as unknown as ReturnType<IHttpClient["sendRequest"]>;
      },
    },
  };
}

/** Chunks where the SDK wants a stream, which it only passes on. */
export function contentToSend(chunks: AsyncIterable<Uint8Array>): NodeJS.ReadableStream {
  return chunksToSend(chunks) as unknown as NodeJS.ReadableStream;
}

/**
 * Something on the way to the service, such as a network where somebody has to sign in first, has answered: its page would pass for a blob.
 *
 * @see https://learn.microsoft.com/rest/api/storageservices/common-rest-api-response-headers
 */
function isFromElsewhere(status: number, headers: Readonly<Record<string, string>>): boolean {
  const isGood = status >= 200 && status < 300;
  return isGood && headers["x-ms-request-id"] === undefined && headers["etag"] === undefined;
}

interface Order {
  readonly method: string;
  readonly url: string;
  readonly rawHeaders: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly abortSignal?: unknown;
  readonly streamResponseStatusCodes?: ReadonlySet<number> | undefined;
}

interface Answer {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly bodyAsText?: string;
  readonly readableStreamBody?: Readable;
}

/** @see https://learn.microsoft.com/rest/api/storageservices/setting-timeouts-for-blob-service-operations */
function putsTogether({ method, url }: Order): boolean {
  return method === "PUT" && new URL(url).searchParams.get("comp") === "blocklist";
}

function orderOf({ method, url, body, abortSignal, streamResponseStatusCodes }: Omit<Order, "rawHeaders">) {
  return { method, url, body, abortSignal, streamResponseStatusCodes };
}

/** How the body is framed, and what of it is packed, is the connection's business. */
function withoutFraming(headers: Readonly<Record<string, string>>): Record<string, string> {
  const own = new Set(["transfer-encoding", "connection", "accept-encoding", "expect"]);
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !own.has(name.toLowerCase())));
}
