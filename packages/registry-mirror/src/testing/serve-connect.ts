import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, request as sendRequest } from "node:http";
import type { IncomingMessage } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import type { ConnectionOptions, TLSSocket } from "node:tls";
import { certificateHosts, createConnectHandler, openCa } from "../connect/index.ts";
import type { CertificateAuthority, ConnectHandler, ConnectOptions } from "../connect/index.ts";
import { createMirror } from "../mirror.ts";
import type { RegistryMirror } from "../registry-mirror.ts";
import { createNodeListener } from "../node-listener.ts";
import type { MirrorOptions } from "../options.ts";
import { collectingLogger } from "./serve.ts";
import type { Answer } from "./serve.ts";

/** A mirror in CONNECT mode behind a real server. */
export interface ServedProxy extends AsyncDisposable {
  readonly port: number;
  readonly directory: string;
  readonly ca: CertificateAuthority;
  readonly mirror: RegistryMirror;
  readonly handler: ConnectHandler;
  readonly log: readonly string[];
  metric(name: string, labels?: Readonly<Record<string, string>>): number;
  /** Sends a CONNECT request. */
  connect(target: string, headers?: Readonly<Record<string, string>>): Promise<ConnectAnswer>;
  /** TLS inside of an intercepted connection. */
  secure(target: string, options?: ConnectionOptions): Promise<TLSSocket>;
  /** Sends a request to a host through the proxy. */
  send(host: string, path: string, options?: ProxySendOptions): Promise<Answer>;
}

interface ConnectAnswer {
  readonly status: number;
  readonly phrase: string;
  readonly headers: IncomingMessage["headers"];
  readonly socket: Socket;
}

interface ProxySendOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer;
}

type Settings = Partial<Omit<ConnectOptions, "ca" | "mirror">> & {
  readonly mirror: Omit<MirrorOptions, "directory">;
  readonly policy: ConnectOptions["policy"];
  readonly host?: string;
};

export async function serveConnect(settings: Settings): Promise<ServedProxy> {
  const { clock, host = "127.0.0.1", mirror: mirrorOptions, ...rest } = settings;
  const directory = await mkdtemp(join(tmpdir(), "connect-"));
  const log: string[] = [];
  const logger = collectingLogger(log);
  const timed = clock === undefined ? {} : { clock };
  const mirror = await createMirror({ reserveBytes: 0, logger, ...timed, ...mirrorOptions, directory });
  const ca = await openCa(
    { directory: join(directory, "connect") },
    { hosts: certificateHosts(settings.policy), machine: hostname(), now: () => (clock ?? Date).now() },
  );
  const handler = createConnectHandler({ logger, ...timed, ...rest, mirror, ca });
  const server = createServer();
  handler.attach(server, createNodeListener(mirror));
  server.listen(0, host);
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;

  const connect = (target: string, headers: Readonly<Record<string, string>> = {}): Promise<ConnectAnswer> =>
    new Promise((resolve, reject) => {
      const request = sendRequest({ host: "127.0.0.1", port, method: "CONNECT", path: target, headers, agent: false });
      request.on("connect", (response: IncomingMessage, socket: Socket, head: Buffer) => {
        socket.on("error", () => {});
        if (head.byteLength > 0) socket.unshift(head);
        const { headers: got, statusCode = 0, statusMessage = "" } = response;
        resolve({ status: statusCode, phrase: statusMessage, headers: got, socket });
      });
      request.on("error", reject);
      request.end();
    });
  const secure = async (target: string, options: ConnectionOptions = {}): Promise<TLSSocket> => {
    const { phrase, socket, status } = await connect(target);
    if (status !== 200) throw new Error(`${status} ${phrase}`);
    const name = target.slice(0, target.lastIndexOf(":"));
    const inside = connectTls({ socket, ca: ca.certificate, servername: name, host: name, ...options });
    await once(inside, "secureConnect");
    inside.on("error", () => {});
    return inside;
  };
  return {
    port,
    directory,
    ca,
    mirror,
    handler,
    log,
    metric: (name, labels = {}) =>
      [...mirror.metrics(), ...handler.metrics()]
        .filter(
          (sample) =>
            sample.name === name && Object.entries(labels).every(([label, value]) => sample.labels[label] === value),
        )
        .reduce((sum, { value }) => sum + value, 0),
    connect,
    secure,
    async send(registry, path, { body, headers = {}, method = "GET" } = {}) {
      const inside = await secure(registry.includes(":") ? registry : `${registry}:443`);
      return new Promise((resolve, reject) => {
        const request = sendRequest(
          {
            createConnection: () => inside,
            path,
            method,
            headers: { host: registry, connection: "close", ...headers },
          },
          (response) => {
            const chunks: Buffer[] = [];
            const finish = (isCut: boolean): void => {
              const all = Buffer.concat(chunks);
              const got = response.headers as Record<string, string | undefined>;
              resolve({ status: response.statusCode ?? 0, headers: got, body: all, isCut, code: codeOf(all) });
            };
            response.on("data", (chunk: Buffer) => chunks.push(chunk));
            response.on("end", () => finish(false));
            response.on("error", () => finish(true));
          },
        );
        request.on("error", reject);
        request.end(body);
      });
    },
    async [Symbol.asyncDispose]() {
      await handler.close(AbortSignal.abort());
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await mirror.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

function codeOf(body: Buffer): string | undefined {
  try {
    return (JSON.parse(body.toString()) as { errors?: { code: string }[] }).errors?.[0]?.code;
  } catch {
    return undefined;
  }
}
