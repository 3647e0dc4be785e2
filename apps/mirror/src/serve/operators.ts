import type { IncomingMessage, ServerResponse } from "node:http";
import { isIP } from "node:net";
import type { EntryFilter, RegistryMirror, Sample } from "@fleetfoot/registry-mirror";
import { isLoopback } from "../settings/addresses.ts";
import type { PrometheusPage } from "./prometheus.ts";
import { overviewOf, statusPage } from "./status-page.ts";

/** What operators see of the mirror. */
export interface OperatorsOptions {
  readonly mirror: RegistryMirror;
  readonly prometheus: PrometheusPage;
  readonly upstreams: readonly string[];
  /** Figures besides the mirror's own. */
  readonly moreSamples: () => readonly Sample[];
}

/** Makes the listener of the operators' address. It is no place for clients: it shows and removes what is cached. */
export function createOperatorsListener(
  options: OperatorsOptions,
): (request: IncomingMessage, response: ServerResponse) => void {
  return (request, response) => {
    void answer(options, request)
      .catch((error: unknown): Answer => ({ status: 500, type: "text/plain", body: `${String(error)}\n` }))
      .then(({ body, headers = {}, status, type }) => {
        response.writeHead(status, {
          "content-type": type,
          "content-length": Buffer.byteLength(body),
          "cache-control": "no-store",
          ...headers,
        });
        response.end(request.method === "HEAD" ? undefined : body);
      });
  };
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

async function answer(
  { mirror, moreSamples, prometheus, upstreams }: OperatorsOptions,
  request: IncomingMessage,
): Promise<Answer> {
  const { pathname, searchParams } = new URL(request.url ?? "/", "http://operators");
  const { method = "GET" } = request;
  if ((request.headersDistinct["host"]?.length ?? 0) > 1)
    return text(400, "the request names its host more than once (Host)\n");
  if (isNameOfElsewhere(request)) return text(421, "ask for localhost here: other names may be those of web pages\n");
  // A page of another site can make a browser send a GET, but not read its answer, and no DELETE without asking first.
  const isFromBrowser =
    request.headers["sec-fetch-site"] !== undefined && request.headers["sec-fetch-site"] !== "same-origin";
  if (method === "DELETE" && !isFromBrowser && pathname === "/entries") {
    return json(200, { removed: await mirror.purge(filterOf(searchParams)) });
  }
  if (method !== "GET" && method !== "HEAD") return text(405, "only GET, and DELETE /entries\n");
  const [, , upstream, entries] = pathname.split("/");
  if (
    pathname.startsWith("/upstreams/") &&
    entries === "entries" &&
    upstream !== undefined &&
    upstreams.includes(upstream)
  ) {
    return entriesPage(mirror, { ...filterOf(searchParams), upstream }, searchParams, pathname);
  }
  switch (pathname) {
    case "/":
      return {
        status: 200,
        type: "text/html; charset=utf-8",
        body: statusPage(overviewOf(mirror.status(), mirror.metrics())),
      };
    case "/status.json":
      return json(200, overviewOf(mirror.status(), mirror.metrics()));
    case "/entries":
      return entriesPage(mirror, filterOf(searchParams), searchParams, pathname);
    case "/metrics":
      return {
        status: 200,
        type: prometheus.contentType,
        body: await prometheus.render([...mirror.metrics(), ...moreSamples()]),
      };
    case "/healthz": {
      // The process is well, and serves.
      const { diskProblem } = mirror.status();
      return text(200, diskProblem === undefined ? "ok\n" : `ok, but nothing can be stored: ${diskProblem}\n`);
    }
    case "/readyz": {
      // A mirror is useful while its upstreams are away, so they do not count.
      const { diskProblem, sharedStore, upstreams: states } = mirror.status();
      const ready = diskProblem === undefined;
      return json(ready ? 200 : 503, {
        ready,
        diskProblem,
        sharedStore,
        upstreams: Object.fromEntries(states.map(({ id, state }) => [id, state])),
      });
    }
    default:
      return text(404, "there is nothing here\n");
  }
}

/**
 * Whether the loopback address was asked for by a name that is not its own: a web page's, most likely, whose owner lets it lead here,
 * so that the browser takes this server for a part of the page's site.
 */
function isNameOfElsewhere({ headers, socket }: IncomingMessage): boolean {
  const isLocal = isLoopback({ host: socket.localAddress?.replace(/^::ffff:/, ""), port: 0 });
  // Browsers always name a host.
  if (!isLocal || headers.host === undefined) return false;
  if (!URL.canParse(`http://${headers.host}`)) return true;
  const name = new URL(`http://${headers.host}`).hostname.replace(/^\[|\]$/g, "");
  return name !== "localhost" && isIP(name) === 0;
}

function entriesPage(mirror: RegistryMirror, filter: EntryFilter, query: URLSearchParams, pathname: string): Answer {
  const count = /^\d{1,6}$/.test(query.get("n") ?? "") ? Number(query.get("n")) : 100;
  const last = query.get("last");
  const keyed = mirror
    .entries(filter)
    .map((entry) => ({ key: `${entry.name} ${entry.reference} ${entry.upstream}`, entry }));
  const start = last === null ? 0 : keyed.findIndex(({ key }) => key === last) + 1;
  const page = keyed.slice(start, start + count);
  const lastKey = page.at(-1)?.key;
  const hasMore = start + count < keyed.length && lastKey !== undefined;
  const next = new URLSearchParams(query);
  if (hasMore) next.set("last", lastKey);
  const headers = hasMore ? { headers: { link: `<${pathname}?${next}>; rel="next"` } } : {};
  return { ...json(200, { entries: page.map(({ entry }) => entry) }), ...headers };
}

function filterOf(query: URLSearchParams): EntryFilter {
  const filter: Record<string, string> = {};
  for (const key of ["upstream", "name", "reference", "search"] as const) {
    const value = query.get(key);
    if (value !== null) filter[key] = value;
  }
  return filter;
}

function json(status: number, value: unknown): Answer {
  return { status, type: "application/json", body: `${JSON.stringify(value)}\n` };
}

function text(status: number, body: string): Answer {
  return { status, type: "text/plain", body };
}
