import type { Upstream } from "../routing/registries.ts";
import { bodyOf } from "../storage/body.ts";
import type { Body } from "../storage/body.ts";
import { discard } from "../upstream/connections.ts";
import type { RawAnswer } from "../upstream/connections.ts";
import { trustedChallenge } from "../upstream/realm-trust.ts";
import type { MirrorResponse } from "./messages.ts";

/**
 * Makes what a client gets of an answer that is passed on.
 *
 * @param registry - host that the client believes to talk to
 */
export function relayedResponse(
  answer: RawAnswer,
  method: string,
  upstream: Upstream,
  registry: string,
): MirrorResponse {
  const isBodyless = method === "HEAD" || answer.statusCode === 204 || answer.statusCode === 304;
  if (isBodyless) discard(answer);
  return {
    status: answer.statusCode,
    headers: relayedHeaders(answer.headers, upstream, registry),
    body: isBodyless ? undefined : bodyOfStream(answer.body),
  };
}

/** Headers of a relayed answer that the client may see. A place on the upstream is one on the registry that the client knows. */
function relayedHeaders(
  headers: Readonly<Record<string, string | string[] | undefined>>,
  upstream: Upstream,
  registry: string,
): Record<string, string> {
  const passed: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || notRelayed.has(name)) continue;
    passed[name] = typeof value === "string" ? value : value.join(", ");
  }
  const challenge =
    upstream.options.access === "pass-through" ? trustedChallenge(headers["www-authenticate"], upstream) : undefined;
  if (challenge !== undefined) passed["www-authenticate"] = challenge;
  const { location } = passed;
  if (location !== undefined && URL.canParse(location)) {
    const url = new URL(location);
    // Without the scheme: a registry behind a front that speaks TLS for it takes itself for one without.
    if (url.host === upstream.url.host && url.host !== registry) passed["location"] = `${url.pathname}${url.search}`;
  }
  return passed;
}

/** Of one connection only, or about the host as a whole, which is not ours. */
const notRelayed: ReadonlySet<string> = new Set([
  "alt-svc",
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-connection",
  "set-cookie",
  "strict-transport-security",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "www-authenticate",
]);

function bodyOfStream(stream: AsyncIterable<Uint8Array> & { destroy(): unknown }): Body {
  const chunks = stream[Symbol.asyncIterator]();
  return bodyOf(
    async () => {
      const { done, value } = await chunks.next();
      return done === true ? undefined : value;
    },
    () => void stream.destroy(),
  );
}
