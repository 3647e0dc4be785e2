import { TransportError } from "../errors.ts";
import type { Transport, WireRequest, WireResponse } from "./transport.ts";

/** Headers that must not reach a stranger. */
const TOKEN_HEADERS = ["job-token", "runner-token", "private-token"] as const;
const MAX_HOPS = 10;

/**
 * Sends one request and follows its redirects by the protocol's rules:
 *
 * - 307 and 308 repeat the method and the body; the target is another front door of the same coordinator, so the token
 *   goes along. From https to http such a request is not followed: the token or the files would cross in the clear.
 * - A GET follows every redirect; its token stays behind once the origin is left, since the target is object storage.
 * - 301, 302 and 303 for other methods come back as the answer they are.
 *
 * @throws {TransportError} more than 10 hops, or a target that cannot be used
 * @see coordinator-protocol 1.5
 */
export async function sendFollowing(transport: Transport, request: WireRequest): Promise<WireResponse> {
  let current = request;
  for (let hop = 0; ; hop += 1) {
    const response = await transport.send(current);
    if (!isFollowed(current.method, response.status)) {
      return response;
    }
    const location = response.header("location");
    if (!location) {
      return response;
    }
    const next = redirectedRequest(current, location);
    if (next === undefined) {
      return response;
    }
    await response.discard(current.signal);
    if (hop === MAX_HOPS) {
      throw new TransportError(`more than ${MAX_HOPS} redirects`);
    }
    current = next;
  }
}

function isFollowed(method: string, status: number): boolean {
  if (status === 307 || status === 308) {
    return true;
  }
  return method === "GET" && (status === 301 || status === 302 || status === 303);
}

/**
 * The request that a redirect asks for; undefined when it must not be sent.
 *
 * @throws {TransportError} the target cannot be used
 */
export function redirectedRequest(request: WireRequest, location: string): WireRequest | undefined {
  const base = `${request.origin}${request.path}`;
  const target = URL.canParse(location, base) ? new URL(location, base) : undefined;
  if (target === undefined || (target.protocol !== "http:" && target.protocol !== "https:")) {
    throw new TransportError("redirected to an address that cannot be used");
  }
  const leavesTls = request.origin.startsWith("https:") && target.protocol === "http:";
  if (leavesTls && request.method !== "GET") {
    return undefined;
  }
  const headers = { ...request.headers };
  if (request.method === "GET" && target.origin !== request.origin) {
    for (const name of TOKEN_HEADERS) {
      delete headers[name];
    }
  }
  return { ...request, origin: target.origin, path: `${target.pathname}${target.search}`, headers };
}
