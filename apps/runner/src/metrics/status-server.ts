import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Registry } from "prom-client";
import { UsageError } from "../errors.ts";
import type { ListenAddress } from "./listen-address.ts";
import type { RunnerMetrics } from "./runner-metrics.ts";

/** What is served. */
export interface StatusServerOptions {
  readonly address: ListenAddress;
  readonly registry: Registry;
  readonly metrics: Pick<RunnerMetrics, "jobs" | "state">;
  /** Epoch milliseconds. */
  readonly now: () => number;
}

export interface StatusServer {
  /** Where it listens, for instance `http://127.0.0.1:9252`. */
  readonly url: string;
  close(): Promise<void>;
}

/**
 * Serves metrics and the state of a runner, without authentication.
 *
 * @throws {UsageError} the address cannot be listened on
 * @see job-execution 4.5
 */
export async function startStatusServer(options: StatusServerOptions): Promise<StatusServer> {
  const { host, port } = options.address;
  const server = createServer(answer(options));
  try {
    await listen(server, host, port);
  } catch (error) {
    throw new UsageError(
      `listen_address ${host}:${port} cannot be used: ${error instanceof Error ? error.message : String(error)}`,
      { cure: "Name another address in config.toml or with --listen-address, or leave it out.", cause: error },
    );
  }
  // Nobody who asks for metrics may keep the process.
  server.unref();
  const { port: chosen } = server.address() as AddressInfo;
  return {
    url: `http://${host.includes(":") ? `[${host}]` : host}:${chosen}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function answer({ registry, metrics, now }: StatusServerOptions): RequestListener {
  const pages: Readonly<
    Record<
      string,
      () => Promise<{ readonly type: string; readonly text: string; readonly headers?: Record<string, string> }>
    >
  > = {
    "/metrics": async () => ({ type: registry.contentType, text: await registry.metrics() }),
    "/debug/jobs/list": async () => ({
      type: TEXT,
      text: listJobs(metrics, now()),
      headers: { "X-List-Version": "2" },
    }),
    "/debug/process/state": async () => ({ type: TEXT, text: `${metrics.state}\n` }),
    "/health/ready": async () => ({ type: TEXT, text: "ready" }),
  };
  return (request, response) => {
    const path = (request.url ?? "/").split("?")[0] ?? "/";
    const page = Object.hasOwn(pages, path) ? pages[path] : undefined;
    if (page === undefined) return void response.writeHead(404).end();
    if (request.method !== "GET" && request.method !== "HEAD")
      return void response.writeHead(405, { Allow: "GET, HEAD" }).end();
    page().then(
      ({ type, text, headers = {} }) => {
        const body = Buffer.from(text);
        response.writeHead(200, { "Content-Type": type, "Content-Length": body.length, ...headers });
        response.end(request.method === "HEAD" ? undefined : body);
      },
      () => response.writeHead(500).end(),
    );
    return undefined;
  };
}

const TEXT = "text/plain; charset=utf-8";

function listJobs({ jobs }: Pick<RunnerMetrics, "jobs">, now: number): string {
  return [...jobs]
    .map(
      ({ url, stage, startedAtMs }) =>
        `url=${url} state=${stage === "" ? "pending" : "running"} stage=${stage} executor_stage= duration=${Math.round((now - startedAtMs) / 1000)}s\n`,
    )
    .join("");
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      resolve();
    });
  });
}
