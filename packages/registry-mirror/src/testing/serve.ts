import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, request as sendRequest } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Logger } from "../logger.ts";
import { createMirror } from "../mirror.ts";
import type { RegistryMirror } from "../registry-mirror.ts";
import { createNodeListener } from "../node-listener.ts";
import type { MirrorOptions } from "../options.ts";

/** A mirror behind a real server. */
export interface ServedMirror extends AsyncDisposable {
  readonly url: string;
  readonly directory: string;
  readonly mirror: RegistryMirror;
  readonly log: readonly string[];
  /** Sends a request whose target is not touched. */
  send(target: string, options?: SendOptions): Promise<Answer>;
  /** Value of a metric, over all labels that have at least these. */
  metric(name: string, labels?: Readonly<Record<string, string>>): number;
}

interface SendOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Called whenever something of the body has come; what comes next is waited for until it resolves. */
  readonly onData?: (received: number) => Promise<void> | void;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: Buffer;
  /** Whether the connection ended before the body. */
  readonly isCut: boolean;
  /** Code of the first error in the body. */
  readonly code: string | undefined;
}

/** Serves a mirror; its directory is removed at the end unless it was given. */
export async function serveMirror(
  options: Omit<MirrorOptions, "directory"> & { readonly directory?: string; readonly host?: string },
): Promise<ServedMirror> {
  const directory = options.directory ?? (await mkdtemp(join(tmpdir(), "mirror-")));
  const log: string[] = [];
  const mirror = await createMirror({ reserveBytes: 0, logger: collectingLogger(log), ...options, directory });
  const { host = "127.0.0.1" } = options;
  const server = createServer(createNodeListener(mirror)).listen(0, host);
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${host}:${port}`,
    directory,
    mirror,
    log,
    send: (target, sendOptions = {}) => send({ host, port }, target, sendOptions),
    metric: (name, labels = {}) =>
      mirror
        .metrics()
        .filter(
          (sample) =>
            sample.name === name && Object.entries(labels).every(([label, value]) => sample.labels[label] === value),
        )
        .reduce((sum, { value }) => sum + value, 0),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await mirror.close();
      if (options.directory === undefined) await rm(directory, { recursive: true, force: true });
    },
  };
}

function send(
  address: { readonly host: string; readonly port: number },
  target: string,
  { headers = {}, method = "GET", onData }: SendOptions,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = sendRequest({ ...address, path: target, method, headers }, (response) => {
      const chunks: Buffer[] = [];
      const finish = (isCut: boolean): void => {
        const body = Buffer.concat(chunks);
        const facts = {
          status: response.statusCode ?? 0,
          headers: response.headers as Record<string, string | undefined>,
        };
        resolve({ ...facts, body, isCut, code: codeOf(body) });
      };
      let received = 0;
      response.on("data", (chunk: Buffer) => {
        chunks.push(chunk);
        received += chunk.byteLength;
        const pause = onData?.(received);
        if (pause === undefined) return;
        response.pause();
        void pause.then(() => response.resume());
      });
      response.on("end", () => finish(false));
      response.on("error", () => finish(true));
    });
    request.on("error", reject);
    request.end();
  });
}

function codeOf(body: Buffer): string | undefined {
  if (body.byteLength > 10_000) return undefined;
  try {
    const document = JSON.parse(body.toString()) as { errors?: { code: string }[] };
    return document.errors?.[0]?.code;
  } catch {
    return undefined;
  }
}

export function collectingLogger(lines: string[]): Logger {
  const write =
    (level: string) =>
    (message: string, fields: Readonly<Record<string, unknown>> = {}): void => {
      lines.push(`${level} ${message} ${JSON.stringify(fields)}`);
    };
  return { debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error") };
}
