import type { Dispatcher } from "undici";

import { ProxyRefusedError } from "../errors.ts";
import type { ProxyServer } from "../proxy-server.ts";
import { schemeNames } from "../tunnel/connect-answer.ts";

/**
 * Turns a request for an `http:` target into one for a proxy: the whole URL in its first line, the proxy's credentials in its
 * head, and a 407 as an error, since no target answers so.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9112#section-3.2.2
 */
export function forwarded(
  proxy: ProxyServer,
  target: URL,
  request: Dispatcher.DispatchOptions,
  handler: Dispatcher.DispatchHandler,
): [Dispatcher.DispatchOptions, Dispatcher.DispatchHandler] {
  const options = {
    ...request,
    // TLS to the proxy is the connector's business; undici would take the target's name for its certificate.
    origin: `http://${proxy.address}`,
    path: `${target.origin}${request.path}`,
    headers: forwardedHeaders(request.headers, target.host, proxy.authorization()),
  };
  return [options, refusing407(handler, proxy.address, target)];
}

/** Names and values in turn, as undici takes them. */
function forwardedHeaders(
  headers: Dispatcher.DispatchOptions["headers"],
  host: string,
  authorization: string | undefined,
): string[] {
  const kept = [...headerPairs(headers)].filter(([name]) => name.toLowerCase() !== "proxy-authorization");
  if (!kept.some(([name]) => name.toLowerCase() === "host")) kept.unshift(["host", host]);
  if (authorization !== undefined) kept.push(["proxy-authorization", authorization]);
  return kept.flat();
}

function* headerPairs(headers: Dispatcher.DispatchOptions["headers"]): Generator<[string, string]> {
  if (headers === null || headers === undefined) return;
  if (Array.isArray(headers)) {
    for (let index = 0; index + 1 < headers.length; index += 2)
      yield* valuesOf(headers[index] ?? "", headers[index + 1]);
    return;
  }
  const pairs: Iterable<[string, unknown]> = Symbol.iterator in headers ? headers : Object.entries(headers);
  for (const [name, value] of pairs) yield* valuesOf(name, value);
}

function* valuesOf(name: string, value: unknown): Generator<[string, string]> {
  if (value === undefined || value === null) return;
  for (const one of Array.isArray(value) ? value : [value]) yield [name, String(one)];
}

function refusing407(handler: Dispatcher.DispatchHandler, proxy: string, target: URL): Dispatcher.DispatchHandler {
  return {
    onRequestStart: (controller, context) => handler.onRequestStart?.(controller, context),
    onRequestUpgrade: (controller, statusCode, headers, socket) =>
      handler.onRequestUpgrade?.(controller, statusCode, headers, socket),
    onResponseStarted: () => handler.onResponseStarted?.(),
    onResponseStart(controller, statusCode, headers, statusMessage) {
      if (statusCode !== 407) {
        handler.onResponseStart?.(controller, statusCode, headers, statusMessage);
        return;
      }
      const challenges = [headers["proxy-authenticate"] ?? []].flat();
      const facts = { proxy, target: `${target.hostname}:${target.port || "80"}` };
      controller.abort(new ProxyRefusedError(facts, statusCode, [...new Set(challenges.flatMap(schemeNames))]));
    },
    onResponseData: (controller, chunk) => handler.onResponseData?.(controller, chunk),
    onResponseEnd: (controller, trailers) => handler.onResponseEnd?.(controller, trailers),
    onResponseError: (controller, error) => handler.onResponseError?.(controller, error),
    onBodySent: (chunk) => handler.onBodySent?.(chunk),
    onRequestSent: () => handler.onRequestSent?.(),
  };
}
