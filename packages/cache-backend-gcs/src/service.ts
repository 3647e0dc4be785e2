import { Agent, request } from "undici";
import type { Dispatcher } from "undici";
import { asSilence, CacheStoreError, silenceLimits, translatingErrors, withoutAnswer } from "@fleetfoot/cache-backend";
import type { StoreCall } from "@fleetfoot/cache-backend";
import { noCredentials, refusal } from "./failures.ts";
import { openIdentity } from "./identity.ts";
import type { GcsStoreOptions } from "./options.ts";

/** What a request is. */
interface Order {
  readonly method: "GET" | "HEAD" | "PUT" | "POST" | "PATCH" | "DELETE";
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | AsyncIterable<Uint8Array>;
  /** Statuses beside 2xx that the caller understands. @default none */
  readonly accepts?: readonly number[];
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: Dispatcher.ResponseData["body"];
}

/** The service: requests with this identity's rights, and signatures of it. */
export interface GcsService {
  /** URL without a slash at its end. */
  readonly endpoint: string;
  /** @throws {CacheStoreError} no answer, or one with a status that is not accepted */
  send(call: StoreCall, order: Order): Promise<Answer>;
  /** Sends a request whose URL is all the right that it needs. */
  sendPresigned(call: StoreCall, order: Order): Promise<Answer>;
  /** Signs a text as this identity. @returns the signature in hexadecimal */
  sign(call: StoreCall, text: string): Promise<string>;
  /** E-mail address of the identity that signs. */
  signer(call: StoreCall): Promise<string>;
}

/**
 * Opens the service. Credentials and signatures are those of Google's own library; its way of sending requests takes proxies
 * from the environment and cannot be told otherwise, so the requests themselves go through the dispatcher.
 */
export function openService(options: GcsStoreOptions): GcsService {
  const { universeDomain = "" } = options;
  const dispatcher = options.dispatcher ?? new Agent({ connect: { timeout: connectTimeoutMs } });
  const limits = silenceLimits(options.idleTimeoutMs);
  const identity = openIdentity(options, dispatcher);
  const endpoint = (options.endpoint ?? `https://storage.${universeDomain || "googleapis.com"}`).replace(/\/+$/, "");

  async function sendAs(call: StoreCall, order: Order, authorization: Record<string, string>): Promise<Answer> {
    const { method, url, headers = {}, body = null, accepts = [] } = order;
    const answer = await translatingErrors(call, withoutAnswer, () =>
      request(url, {
        dispatcher,
        method,
        headers: { ...headers, ...authorization },
        body: body as Dispatcher.DispatchOptions["body"] & {},
        signal: call.signal ?? null,
        ...limits,
      }).catch((error: unknown) => {
        throw asSilence(error, options.idleTimeoutMs);
      }),
    );
    const { statusCode: status } = answer;
    if ((status < 200 || status > 299) && !accepts.includes(status)) {
      throw refusal(call, status, await answer.body.text().catch(() => ""));
    }
    return { status, headers: answer.headers as Answer["headers"], body: answer.body };
  }

  async function authorize(call: StoreCall, url: string): Promise<Record<string, string>> {
    if (options.endpoint !== undefined) return {};
    try {
      return await identity.headers(url);
    } catch (error) {
      throw noCredentials(call, error);
    }
  }

  async function withCredentials<Result>(call: StoreCall, action: () => Promise<Result>): Promise<Result> {
    try {
      return await action();
    } catch (error) {
      throw noCredentials(call, error);
    }
  }

  return {
    endpoint,
    async send(call, order) {
      return sendAs(call, order, await authorize(call, order.url));
    },
    sendPresigned: (call, order) => sendAs(call, order, {}),
    signer: (call) => withCredentials(call, () => identity.signer()),
    sign: (call, text) => withCredentials(call, () => identity.sign(text)),
  };
}

/** What an answer says. @throws {CacheStoreError} `unavailable`: something else than the service has answered */
export async function jsonOf(call: StoreCall, { status, body }: Answer): Promise<unknown> {
  const { store, operation, object } = call;
  const text = await translatingErrors(call, withoutAnswer, () => body.text());
  try {
    return JSON.parse(text);
  } catch (cause) {
    const reason = `status ${status}, and the answer is not from the service`;
    throw new CacheStoreError({ code: "unavailable", store, operation, object, reason }, { cause });
  }
}

const connectTimeoutMs = 30_000;
