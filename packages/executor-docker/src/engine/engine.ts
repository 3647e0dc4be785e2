import type { WriteStream } from "node:fs";
import { open as openFile } from "node:fs/promises";
import { request as httpRequest } from "node:http";
import type { ClientRequest, IncomingMessage, RequestOptions } from "node:http";
import type { Duplex, Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

import type Dockerode from "dockerode";

import { EngineResponseError, HostFilesError, messageOf } from "../errors.ts";
import type { EngineAddress, EngineOptions } from "./address.ts";
import { parseEngineAddress, readCertificates } from "./address.ts";
import { EngineAgent } from "./sockets.ts";
import { plainToTls, unreachable, wantsTls } from "./unreachable.ts";

export interface OpenEngineOptions extends EngineOptions {
  /** @default 10_000 */
  readonly keepAliveMs?: number;
  /** @default 60_000 */
  readonly connectTimeoutMs?: number;
  /** Time for the engine to answer: a short call as a whole, others with their headers. @default 120_000 */
  readonly answerLimitMs?: number;
  /** File that gets the keys of every TLS connection, mode 0600. @default none */
  readonly keyLogFile?: string | undefined;
}

/** What ends a call before its answer. */
interface CallLimits {
  readonly signal?: AbortSignal | undefined;
  /** @default that of the engine */
  readonly limitMs?: number;
}

/** A connection to one engine: short calls through dockerode, and the long ones that it cannot keep alive. */
export interface Engine {
  readonly address: EngineAddress;
  /** What is wrong with the file that gets the keys of connections. */
  keyLogProblem(): string | undefined;
  /**
   * Makes one short call.
   *
   * @param what - completes "the Docker engine refused to …"
   * @param action - its requests end with the signal that it gets; streams that it opens are its own to end by that
   * @throws {EngineResponseError | EngineUnreachableError} the latter also when there is no answer in time
   * @throws `signal.reason`
   */
  call<Result>(
    what: string,
    action: (docker: Dockerode, signal: AbortSignal) => Promise<Result>,
    limits?: CallLimits,
  ): Promise<Result>;
  /**
   * Sends a request and gives its answer as soon as its headers are there.
   *
   * @throws {EngineResponseError | EngineUnreachableError}
   * @throws `signal.reason`
   */
  open(request: StreamRequest): Promise<IncomingMessage>;
  /**
   * Takes over the connection of a request as a stream in both directions.
   *
   * @throws as {@link open}
   */
  upgrade(request: Omit<StreamRequest, "body">): Promise<Duplex>;
  close(): void;
}

interface StreamRequest {
  readonly what: string;
  readonly method: "GET" | "HEAD" | "POST" | "PUT";
  /** With its query, without an API version. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as a tar archive. */
  readonly body?: Readable;
  readonly signal?: AbortSignal;
}

/** Makes the connections to one engine; none is opened yet. */
export async function openEngine(options: OpenEngineOptions): Promise<Engine> {
  const address = parseEngineAddress(options);
  const certificates = address.tls ? await readCertificates(options.tlsCertificatePath) : undefined;
  const keyLog = await openKeyLog(address.tls ? options.keyLogFile : undefined);
  const answerLimitMs = options.answerLimitMs ?? 120_000;
  const agent = new EngineAgent({
    address,
    certificates,
    keepAliveMs: options.keepAliveMs ?? 10_000,
    connectTimeoutMs: options.connectTimeoutMs ?? 60_000,
    onKeyLog: keyLog?.write,
  });
  let docker: Promise<Dockerode> | undefined;
  return {
    address,
    keyLogProblem: () => keyLog?.problem(),
    call: async (what, action, { signal, limitMs = answerLimitMs } = {}) => {
      docker ??= loadDockerode(address, agent);
      const client = await docker;
      const scope = openScope(signal, limitMs);
      try {
        scope.signal.throwIfAborted();
        return await action(bounded(client, scope.signal), scope.signal);
      } catch (error) {
        if (scope.signal.aborted) throw failureOf(address, signal, scope.signal.reason);
        throw toEngineError(address, what, error);
      } finally {
        scope.end();
      }
    },
    open: (request) => openRequest(address, agent, answerLimitMs, request),
    upgrade: (request) => upgradeRequest(address, agent, answerLimitMs, request),
    close: () => {
      agent.destroy();
      keyLog?.end();
    },
  };
}

/** Whether an error is the engine's answer that there is no such thing. */
export function isMissing(error: unknown): boolean {
  return error instanceof EngineResponseError && error.status === 404;
}

/** Loading it takes a fifth of a second, which only those pay who use an engine. */
async function loadDockerode(address: EngineAddress, agent: EngineAgent): Promise<Dockerode> {
  const { default: Docker } = await import("dockerode");
  const place =
    "socketPath" in address.place
      ? { socketPath: address.place.socketPath }
      : { host: address.place.hostName, port: address.place.port };
  // The agent opens the connections, TLS included. What dockerode would read from the environment must not count.
  const unset = { timeout: undefined, ca: undefined, cert: undefined, key: undefined, pathPrefix: undefined };
  const docker = new Docker(Object.assign(unset, place, { protocol: "http", agent }) as Dockerode.DockerOptions);
  // An engine never sends a client elsewhere, and the library would let an error on the way there end the process.
  const modem = docker.modem as object as { buildRequest(options: object, ...rest: unknown[]): void };
  const build = modem.buildRequest.bind(modem);
  modem.buildRequest = (options, ...rest) => build({ ...options, maxRedirects: 0 }, ...rest);
  return docker;
}

/** The same client, whose requests end with a signal: not all of its methods take one. */
function bounded(docker: Dockerode, signal: AbortSignal): Dockerode {
  const modem = docker.modem as { dial(options: object, callback: unknown): void };
  const dial = (options: object, callback: unknown): void => modem.dial({ ...options, abortSignal: signal }, callback);
  return Object.assign(Object.create(docker) as Dockerode, {
    modem: Object.assign(Object.create(modem) as object, { dial }),
  });
}

/** Ends with a signal, and when time is up; until it is ended itself. */
function openScope(
  signal: AbortSignal | undefined,
  limitMs: number,
): { readonly signal: AbortSignal; readonly end: () => void } {
  const scope = new AbortController();
  const abort = (): void => scope.abort(signal?.reason);
  const timer = setTimeout(() => scope.abort(new Error(`no answer after ${limitMs} ms`)), limitMs);
  if (signal?.aborted === true) abort();
  else signal?.addEventListener("abort", abort, { once: true });
  return {
    signal: scope.signal,
    end: () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    },
  };
}

function openRequest(
  address: EngineAddress,
  agent: EngineAgent,
  limitMs: number,
  order: StreamRequest,
): Promise<IncomingMessage> {
  const { body, signal } = order;
  const request = httpRequest({ ...target(address, agent, order), ...(signal === undefined ? {} : { signal }) });
  // The answer to a body comes after all of it, however long that takes.
  const timer = body === undefined ? limitAnswer(request, limitMs) : undefined;
  const answer = new Promise<IncomingMessage>((resolve, reject) => {
    // Each takes the other one with it, so the first counts.
    let hasAnswered = false;
    body?.once("error", (error) => {
      if (!hasAnswered) reject(signal?.aborted === true ? signal.reason : new HostFilesError(READING, error));
    });
    request.once("error", (error) => {
      clearTimeout(timer);
      reject(failureOf(address, signal, error));
    });
    request.once("response", (response) => {
      hasAnswered = true;
      clearTimeout(timer);
      if (isSuccess(response)) resolve(response);
      else readFailure(address, response, order).then(reject, reject);
    });
  });
  if (body === undefined) request.end();
  // An answer that comes before all is sent breaks the sending; the answer says why.
  else pipeline(body, request).catch((error: unknown) => request.destroy(error instanceof Error ? error : undefined));
  return answer;
}

const READING = "read what is sent to the Docker engine";

function limitAnswer(request: ClientRequest, limitMs: number): NodeJS.Timeout {
  return setTimeout(() => request.destroy(new Error(`no answer after ${limitMs} ms`)), limitMs);
}

/** Own request instead of dockerode's: that one sends its options as a body, which containers then read as their input. */
function upgradeRequest(
  address: EngineAddress,
  agent: EngineAgent,
  limitMs: number,
  order: StreamRequest,
): Promise<Duplex> {
  const { signal } = order;
  const settings = target(address, agent, order);
  const headers = { connection: "Upgrade", upgrade: "tcp", "content-length": "0" };
  return new Promise((resolve, reject) => {
    const request = httpRequest({ ...settings, headers });
    const timer = limitAnswer(request, limitMs);
    const onAbort = (): void => void request.destroy(signal?.reason as Error);
    const settled = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
    };
    if (signal?.aborted === true) onAbort();
    else signal?.addEventListener("abort", onAbort, { once: true });
    request.once("error", (error) => {
      settled();
      reject(failureOf(address, signal, error));
    });
    request.once("upgrade", (_, socket, head) => {
      settled();
      if (head.length > 0) socket.unshift(head);
      resolve(socket);
    });
    request.once("response", (response) => {
      settled();
      readFailure(address, response, order).then(reject, reject);
    });
    request.end();
  });
}

function target(
  { place }: EngineAddress,
  agent: EngineAgent,
  { method, path, headers, body }: StreamRequest,
): RequestOptions {
  const contentType: Record<string, string> = body === undefined ? {} : { "content-type": "application/x-tar" };
  const host = "socketPath" in place ? { host: "localhost" } : { host: place.hostName, port: place.port };
  return { ...host, agent, method, path, headers: { ...contentType, ...headers } };
}

function isSuccess({ statusCode = 0 }: IncomingMessage): boolean {
  return statusCode >= 200 && statusCode < 300;
}

const MOST_ERROR_BYTES = 64 * 1024;

async function readFailure(address: EngineAddress, response: IncomingMessage, { what }: StreamRequest): Promise<Error> {
  let text = "";
  try {
    for await (const piece of response.setEncoding("utf8")) {
      text += String(piece);
      if (text.length > MOST_ERROR_BYTES) break;
    }
  } catch {
    // What has come of it says enough.
  }
  return refusal(address, what, response.statusCode ?? 0, engineMessage(text));
}

function engineMessage(text: string): string {
  try {
    const { message } = JSON.parse(text) as { readonly message?: unknown };
    return typeof message === "string" ? message : text.trim();
  } catch {
    return text.trim();
  }
}

function failureOf(address: EngineAddress, signal: AbortSignal | undefined, error: unknown): unknown {
  return signal?.aborted === true ? signal.reason : unreachable(address, error);
}

/** dockerode's errors have a status when the engine answered. */
function toEngineError(address: EngineAddress, what: string, error: unknown): unknown {
  if (!(error instanceof Error)) return unreachable(address, error);
  const { statusCode, json } = error as Error & { readonly statusCode?: unknown; readonly json?: unknown };
  if (typeof statusCode !== "number") return unreachable(address, error);
  const message =
    typeof json === "object" && json !== null && "message" in json ? String(json.message) : messageOf(error).trim();
  return refusal(address, what, statusCode, message);
}

function refusal(address: EngineAddress, what: string, status: number, message: string): Error {
  return wantsTls(address, status, message)
    ? plainToTls(address, message)
    : new EngineResponseError(what, status, message);
}

interface KeyLog {
  write(line: Buffer): void;
  problem(): string | undefined;
  end(): void;
}

/** A log for debugging is not worth a job: what is wrong with it is only told. */
async function openKeyLog(path: string | undefined): Promise<KeyLog | undefined> {
  if (path === undefined) return undefined;
  let problem: string | undefined;
  let file: WriteStream | undefined;
  const fail = (error: unknown): void => {
    problem ??= messageOf(error);
  };
  try {
    const handle = await openFile(path, "a", 0o600);
    file = handle.createWriteStream();
    file.on("error", fail);
    // A file that was there before keeps its mode otherwise.
    await handle.chmod(0o600);
  } catch (error) {
    fail(error);
    file?.destroy();
    file = undefined;
  }
  return { write: (line) => void file?.write(line), problem: () => problem, end: () => void file?.end() };
}
