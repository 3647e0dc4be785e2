import { spawn } from "node:child_process";
import type { ChildProcessByStdio } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Environment } from "./environment.ts";

/** What `git http-backend` serves, and how it is run. */
export interface GitBackend {
  /** Path of git. */
  readonly git: string;
  /** Folder that holds the bare repositories. */
  readonly root: string;
  readonly environment: Environment;
  /** Receives what the backend complains about. */
  readonly logFile: string;
}

/** Longest header block that is read from the backend before giving up, in bytes. */
const maxHeaderBytes = 16_384;

/**
 * Serves one request by the CGI program `git http-backend`.
 *
 * @see https://git-scm.com/docs/git-http-backend
 * @see https://www.rfc-editor.org/rfc/rfc3875 - the interface
 */
export function serveGit(backend: GitBackend, request: IncomingMessage, response: ServerResponse, user?: string): void {
  const log = openSync(backend.logFile, "a");
  const child = spawn(backend.git, ["http-backend"], {
    env: { ...backend.environment, ...cgiVariables(backend, request, user) },
    stdio: ["pipe", "pipe", log],
  }) as ChildProcessByStdio<Writable, Readable, null>;
  closeSync(log);
  const fail = (error: Error) => {
    // The client left, or the backend broke: either way there is nobody to answer and nothing to answer with.
    child.kill("SIGKILL");
    response.destroy(error);
  };
  child.once("error", fail);
  // The backend may answer an error without reading the request; the broken pipe is not our business then.
  pipeline(request, child.stdin).catch(() => {});
  answer(child.stdout, response).catch(fail);
}

function cgiVariables(backend: GitBackend, request: IncomingMessage, user: string | undefined): Environment {
  const { pathname, search } = new URL(request.url ?? "/", "http://git.invalid");
  const { headers } = request;
  const variables: Record<string, string | undefined> = {
    GATEWAY_INTERFACE: "CGI/1.1",
    SERVER_PROTOCOL: `HTTP/${request.httpVersion}`,
    REQUEST_METHOD: request.method,
    PATH_INFO: decodeURIComponent(pathname),
    QUERY_STRING: search.slice(1),
    CONTENT_TYPE: headers["content-type"],
    CONTENT_LENGTH: headers["content-length"],
    REMOTE_ADDR: request.socket.remoteAddress,
    REMOTE_USER: user,
    HTTP_CONTENT_ENCODING: headers["content-encoding"],
    GIT_PROTOCOL: headers["git-protocol"]?.toString(),
    GIT_PROJECT_ROOT: backend.root,
    GIT_HTTP_EXPORT_ALL: "1",
  };
  return Object.fromEntries(Object.entries(variables).flatMap(([name, value]) => (value ? [[name, value]] : [])));
}

/** Turns the backend's header block into the answer's head, then lets the body through. */
async function answer(output: Readable, response: ServerResponse): Promise<void> {
  const pieces = output[Symbol.asyncIterator]() as AsyncIterator<Buffer, undefined>;
  let head = Buffer.alloc(0);
  let end = -1;
  while (end === -1) {
    const { value } = await pieces.next();
    if (value === undefined || head.length > maxHeaderBytes) throw new Error("git http-backend sent no header block");
    head = Buffer.concat([head, value]);
    end = head.indexOf("\r\n\r\n");
  }
  let status = 200;
  for (const line of head.subarray(0, end).toString("latin1").split("\r\n")) {
    const colon = line.indexOf(":");
    const [name, value] = [line.slice(0, colon), line.slice(colon + 1).trim()];
    if (name.toLowerCase() === "status") status = Number.parseInt(value, 10);
    else response.setHeader(name, value);
  }
  response.writeHead(status);
  await pipeline(async function* () {
    yield head.subarray(end + 4);
    yield* { [Symbol.asyncIterator]: () => pieces };
  }, response);
}
