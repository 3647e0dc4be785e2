import { type ChildProcessByStdio, spawn } from "node:child_process";
import { basename, dirname } from "node:path";
import { Readable, type Writable } from "node:stream";
import { pipeline } from "node:stream/promises";

/** How the sources are given to runners. */
export interface GitHttpOptions {
  /** Absolute path of the repository. */
  readonly repository: string;
  /** Path of the address below which it is served, for example `/group/project.git`. */
  readonly path: string;
  /** Whether the password opens it; the user's name does not count. */
  readonly isAllowed: (password: string) => boolean;
  /** What git inherits. */
  readonly environment: Readonly<Record<string, string>>;
  /** Gets what git complains about. */
  readonly warn: (message: string) => void;
}

/** Answers a request for the sources; undefined when it is about something else. */
export type GitHttpHandler = (request: Request) => Promise<Response> | undefined;

/**
 * Serves one repository for fetching, by the smart HTTP protocol of git. Nobody can push.
 *
 * @see https://git-scm.com/docs/git-http-backend, https://git-scm.com/docs/http-protocol
 */
export function createGitHttpHandler(options: GitHttpOptions): GitHttpHandler {
  return (request) => {
    const call = callOf(request, options.path);
    if (call === undefined) return undefined;
    if (call === "refused") return Promise.resolve(new Response("only fetching is possible\n", { status: 403 }));
    if (!options.isAllowed(passwordOf(request))) {
      const headers = { "WWW-Authenticate": 'Basic realm="Fleetfoot"', "Content-Type": "text/plain" };
      return Promise.resolve(new Response("the token of a running job is needed\n", { status: 401, headers }));
    }
    return runBackend(options, request, call);
  };
}

const CALLS: ReadonlySet<string> = new Set(["GET /info/refs?service=git-upload-pack", "POST /git-upload-pack"]);

/** The part of the path that git is told; `refused` for all that only a push or an old client asks for. */
function callOf(request: Request, path: string): string | undefined {
  const { pathname, search } = new URL(request.url);
  const place = decoded(pathname);
  // People and some tools leave the ending out.
  const base = [path, path.replace(/\.git$/, "")].find((candidate) => place?.startsWith(`${candidate}/`) === true);
  if (place === undefined || base === undefined) return undefined;
  const call = place.slice(base.length);
  return CALLS.has(`${request.method} ${call}${search}`) ? call : "refused";
}

function decoded(pathname: string): string | undefined {
  try {
    return decodeURIComponent(pathname);
  } catch {
    // Not an address of ours.
    return undefined;
  }
}

/** @see https://www.rfc-editor.org/rfc/rfc7617 */
function passwordOf(request: Request): string {
  const encoded = /^Basic\s+(\S+)$/i.exec(request.headers.get("authorization") ?? "")?.[1] ?? "";
  const text = Buffer.from(encoded, "base64").toString("utf8");
  return text.slice(text.indexOf(":") + 1);
}

type Backend = ChildProcessByStdio<Writable, Readable, Readable>;

async function runBackend(options: GitHttpOptions, request: Request, call: string): Promise<Response> {
  const child: Backend = spawn("git", ["http-backend"], {
    env: { ...options.environment, ...variablesOf(options, request, call) },
    stdio: ["pipe", "pipe", "pipe"],
    signal: request.signal,
    killSignal: "SIGKILL",
  });
  const { promise: failed, reject } = Promise.withResolvers<never>();
  child.on("error", reject);
  // Whoever only waits for the head must hear of it; later failures end the body.
  failed.catch(() => undefined);
  collectComplaints(child, options.warn);
  if (request.body === null) child.stdin.end();
  // git may answer without having read everything; what it could not take is no fault.
  else pipeline(Readable.fromWeb(request.body), child.stdin).catch(() => undefined);
  child.stdin.on("error", () => undefined);
  try {
    return await Promise.race([readAnswer(child.stdout), failed]);
  } catch (error) {
    // Nobody reads what it still writes, so that it would wait on the full pipe for ever.
    child.kill("SIGKILL");
    child.stdout.destroy();
    throw error;
  }
}

function variablesOf({ repository }: GitHttpOptions, request: Request, call: string): Readonly<Record<string, string>> {
  const header = (name: string): string => request.headers.get(name) ?? "";
  const settings = {
    "http.receivepack": "false",
    // Jobs of an earlier commit fetch it although its branch has moved on.
    "uploadpack.allowAnySHA1InWant": "true",
    // The folder may belong to another user when the state is on a shared disk; what it holds is ours.
    "safe.directory": repository,
  };
  return {
    GATEWAY_INTERFACE: "CGI/1.1",
    SERVER_PROTOCOL: "HTTP/1.1",
    REQUEST_METHOD: request.method,
    GIT_PROJECT_ROOT: dirname(repository),
    PATH_INFO: `/${basename(repository)}${call}`,
    QUERY_STRING: new URL(request.url).search.slice(1),
    CONTENT_TYPE: header("content-type"),
    ...(header("content-length") === "" ? {} : { CONTENT_LENGTH: header("content-length") }),
    HTTP_CONTENT_ENCODING: header("content-encoding"),
    GIT_PROTOCOL: header("git-protocol"),
    GIT_HTTP_EXPORT_ALL: "1",
    GIT_CONFIG_COUNT: String(Object.keys(settings).length),
    ...Object.fromEntries(
      Object.entries(settings).flatMap(([key, value], index) => [
        [`GIT_CONFIG_KEY_${index}`, key],
        [`GIT_CONFIG_VALUE_${index}`, value],
      ]),
    ),
  };
}

const MAX_HEAD_BYTES = 16 * 1024;

/** Reads the head of the answer; the rest streams. @see https://www.rfc-editor.org/rfc/rfc3875#section-6 */
async function readAnswer(output: Readable): Promise<Response> {
  const pieces = output.iterator() as AsyncIterator<Buffer, undefined>;
  let head: Buffer = Buffer.alloc(0);
  let end = -1;
  while (end === -1) {
    const { value } = await pieces.next();
    if (value === undefined || head.length > MAX_HEAD_BYTES) throw new Error("git http-backend gave no answer");
    head = Buffer.concat([head, value]);
    end = head.indexOf("\r\n\r\n");
  }
  const headers = new Headers();
  for (const line of head.subarray(0, end).toString("latin1").split("\r\n")) {
    const colon = line.indexOf(":");
    headers.append(line.slice(0, colon), line.slice(colon + 1).trim());
  }
  const status = Number.parseInt(headers.get("status") ?? "200", 10);
  headers.delete("status");
  const rest = head.subarray(end + 4);
  const body = new ReadableStream<Uint8Array>(
    {
      start: (controller) => {
        if (rest.length > 0) controller.enqueue(rest);
      },
      pull: async (controller) => {
        const { value } = await pieces.next();
        if (value === undefined) controller.close();
        else controller.enqueue(value);
      },
      cancel: () => {
        output.destroy();
      },
    },
    { highWaterMark: 0 },
  );
  return new Response(body, { status, headers });
}

const MAX_COMPLAINT_CHARACTERS = 4096;

function collectComplaints(child: Backend, warn: (message: string) => void): void {
  let text = "";
  child.stderr.setEncoding("utf8").on("data", (piece: string) => {
    text = `${text}${piece}`.slice(0, MAX_COMPLAINT_CHARACTERS);
  });
  child.on("close", (code) => {
    if (code !== 0 && text.trim() !== "") warn(`git http-backend: ${text.trim()}`);
  });
}
