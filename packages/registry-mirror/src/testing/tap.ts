import { once } from "node:events";
import { createServer, request as sendRequest } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** One request that came to the upstream. */
export interface TappedRequest {
  readonly method: string;
  /** Path and query as they came. */
  readonly target: string;
  readonly headers: IncomingMessage["headers"];
}

/** What the tap does in place of passing a request on. */
export type Fault =
  /** Answers by itself. */
  | {
      readonly kind: "answer";
      readonly status: number;
      readonly headers?: Record<string, string>;
      readonly body?: string;
    }
  /** Takes the connection away after so many bytes of the body. */
  | { readonly kind: "cut"; readonly afterBytes: number }
  /** Changes one byte of the body. */
  | { readonly kind: "flip"; readonly atByte: number }
  /** Leaves headers of the answer out, or changes them. */
  | { readonly kind: "headers"; readonly change: (headers: IncomingMessage["headers"]) => void }
  /** Passes the request on without some of its headers. */
  | { readonly kind: "without"; readonly headers: readonly string[] }
  /** Says nothing until the tap is closed. */
  | { readonly kind: "hang" }
  /** Sends so many bytes of the body, and then nothing more. */
  | { readonly kind: "stall"; readonly afterBytes: number }
  /** Sends so many bytes of the body, and then one every ten milliseconds. */
  | { readonly kind: "drip"; readonly afterBytes: number }
  /** Sends the body no faster than this. */
  | { readonly kind: "slow"; readonly bytesPerSecond: number }
  /** Sends the body only as far as it is let; may change one byte of it. */
  | {
      readonly kind: "gate";
      readonly afterBytes: number;
      readonly opened: Promise<void>;
      readonly atByte?: number;
    }
  | { readonly kind: "reset" };

/** A recording server in front of a registry that fails as it is told. */
export interface Tap extends AsyncDisposable {
  readonly url: string;
  readonly requests: TappedRequest[];
  /** Bytes of bodies that were sent. */
  bytes: number;
  /** Asked before every request. */
  fault: (request: TappedRequest) => Fault | undefined;
  /** `METHOD target` of what came since the last call. */
  take(): readonly string[];
  /** Refuses connections until the result is called. */
  goDown(): Promise<() => Promise<void>>;
}

/** Starts a tap in front of a base URL. */
export async function startTap(upstream: string, host = "127.0.0.1"): Promise<Tap> {
  const requests: TappedRequest[] = [];
  let taken = 0;
  const respond = (incoming: IncomingMessage, response: ServerResponse): void => {
    const request = { method: incoming.method ?? "", target: incoming.url ?? "", headers: incoming.headers };
    requests.push(request);
    const fault = tap.fault(request);
    switch (fault?.kind) {
      case "reset":
        incoming.socket.destroy();
        return;
      case "hang":
        return;
      case "answer":
        response.writeHead(fault.status, fault.headers);
        response.end(fault.body);
        return;
      default:
        passOn(upstream, incoming, response, fault, (bytes) => {
          tap.bytes += bytes;
        });
    }
  };
  let server = createServer(respond).listen(0, host);
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const tap: Tap = {
    url: `http://${host}:${port}`,
    requests,
    bytes: 0,
    fault: () => undefined,
    take() {
      const news = requests.slice(taken).map(({ method, target }) => `${method} ${target}`);
      taken = requests.length;
      return news;
    },
    async goDown() {
      await close(server);
      return async () => {
        server = createServer(respond).listen(port, host);
        await once(server, "listening");
      };
    },
    [Symbol.asyncDispose]: () => close(server),
  };
  return tap;
}

function passOn(
  upstream: string,
  incoming: IncomingMessage,
  response: ServerResponse,
  fault: Exclude<Fault, { readonly kind: "answer" | "hang" | "reset" }> | undefined,
  count: (bytes: number) => void,
): void {
  const headers = { ...incoming.headers };
  if (fault?.kind === "without") for (const name of fault.headers) delete headers[name];
  const passed = sendRequest(new URL(incoming.url ?? "/", upstream), { method: incoming.method, headers }, (answer) => {
    const answerHeaders = { ...answer.headers };
    if (fault?.kind === "headers") fault.change(answerHeaders);
    response.writeHead(answer.statusCode ?? 500, answerHeaders);
    void copy(answer, response, fault, count);
  });
  passed.on("error", () => response.destroy());
  incoming.pipe(passed);
}

async function copy(
  answer: IncomingMessage,
  response: ServerResponse,
  fault: Fault | undefined,
  count: (bytes: number) => void,
): Promise<void> {
  let position = 0;
  const limit = fault !== undefined && "afterBytes" in fault ? fault.afterBytes : Infinity;
  let isLimited = limit < Infinity;
  const flipAt = (fault !== undefined && "atByte" in fault ? fault.atByte : undefined) ?? -1;
  const write = async (bytes: Buffer): Promise<void> => {
    if (flipAt >= position && flipAt < position + bytes.byteLength) {
      const at = flipAt - position;
      bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
    }
    count(bytes.byteLength);
    position += bytes.byteLength;
    if (bytes.byteLength > 0 && !response.write(bytes) && !response.destroyed) await drained(response);
    if (fault?.kind === "slow") {
      const pauseMs = (bytes.byteLength / fault.bytesPerSecond) * 1000;
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  };
  try {
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      if (response.destroyed) return;
      if (!isLimited || position + chunk.byteLength <= limit) {
        await write(chunk);
        continue;
      }
      const cut = Math.max(0, limit - position);
      await write(chunk.subarray(0, cut));
      if (fault?.kind === "stall") return;
      if (fault?.kind === "drip") {
        await drip(chunk.subarray(cut), write, response);
        return;
      }
      if (fault?.kind === "gate") {
        await fault.opened;
        isLimited = false;
        await write(chunk.subarray(cut));
        continue;
      }
      // What was written must have left before the connection goes.
      response.write("", () => response.destroy());
      return;
    }
    response.end();
  } catch {
    response.destroy();
  }
}

async function drip(chunk: Buffer, write: (bytes: Buffer) => Promise<void>, response: ServerResponse): Promise<void> {
  for (let at = 0; at < chunk.byteLength && !response.destroyed; at += 1) {
    await write(chunk.subarray(at, at + 1));
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      response.off("drain", done);
      response.off("close", done);
      resolve();
    };
    response.once("drain", done);
    response.once("close", done);
  });
}

async function close(server: Server): Promise<void> {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
}
