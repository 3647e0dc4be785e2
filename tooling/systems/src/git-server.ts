import { timingSafeEqual } from "node:crypto";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { systemEnvironment } from "./environment.ts";
import { createDataFolder } from "./folders.ts";
import { serveGit } from "./git-http-backend.ts";
import { createRepository } from "./git-repository.ts";
import type { FileContents, GitRepository } from "./git-repository.ts";
import { requirePrograms } from "./programs.ts";
import { reportSystem } from "./report.ts";
import { runProgram } from "./run-program.ts";
import type { RunningSystem } from "./running-system.ts";
import { supervise } from "./supervise.ts";

/** How to start a git server. */
export interface GitServerOptions {
  /** Who may read and write. @default everybody */
  readonly basicAuth?: { readonly user: string; readonly password: string };
  /** Address to listen on. @default "127.0.0.1" */
  readonly host?: string;
  /** Called before each request is served; a test can count here. */
  readonly onRequest?: (request: IncomingMessage) => void;
}

/** A running git server over HTTP; cloning, fetching and pushing work. */
export interface GitServer extends RunningSystem {
  /** Base URL with no path and no credentials. */
  readonly endpoint: string;
  /** Creates a repository with one commit of these files on the branch `main`. */
  createRepository(name: string, files?: FileContents): Promise<GitRepository>;
}

/** Starts a git server without repositories: `git http-backend` behind node:http. */
export async function startGitServer(options: GitServerOptions = {}): Promise<GitServer> {
  const { git } = await requirePrograms(["git"], "the tests that need a real git server");
  const folder = await createDataFolder("git");
  const logFile = join(folder, "system.log");
  await writeFile(logFile, "");
  // The server runs in this process and ends with it; what has to be looked after is its folder.
  const keeper = await supervise({ folder, environment: {} }, logFile);
  const environment = {
    ...systemEnvironment(folder),
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_AUTHOR_NAME: "Test",
    GIT_AUTHOR_EMAIL: "test@example.com",
    GIT_COMMITTER_NAME: "Test",
    GIT_COMMITTER_EMAIL: "test@example.com",
  };
  const root = join(folder, "repositories");
  await mkdir(root);
  const server = createServer((request, response) => {
    options.onRequest?.(request);
    if (!isAllowed(request, options.basicAuth)) refuse(response);
    else serveGit({ git: git.path, root, environment, logFile }, request, response, options.basicAuth?.user);
  });
  server.listen(0, options.host ?? "127.0.0.1");
  await once(server, "listening");
  // A test that forgets to stop the server must still be able to end.
  server.unref();
  const { address, port } = server.address() as AddressInfo;
  const endpoint = `http://${address}:${port}`;
  const version = (await runProgram(git.path, ["--version"], { environment })).trim().replace("git version ", "");
  reportSystem("git-server", version);
  const stop = async () => {
    if (server.listening) {
      server.close();
      server.closeAllConnections();
    }
    await keeper.stop();
  };
  return {
    system: "git-server",
    version,
    processId: process.pid,
    folder,
    logFile,
    endpoint,
    stop,
    [Symbol.asyncDispose]: stop,
    createRepository: (name, files = { "README.md": `# ${name}\n` }) =>
      createRepository({ git: git.path, root, environment, endpoint }, name, files),
  };
}

function isAllowed(request: IncomingMessage, basicAuth: GitServerOptions["basicAuth"]): boolean {
  if (basicAuth === undefined) return true;
  const expected = Buffer.from(`Basic ${Buffer.from(`${basicAuth.user}:${basicAuth.password}`).toString("base64")}`);
  const given = Buffer.from(request.headers.authorization ?? "");
  return given.length === expected.length && timingSafeEqual(given, expected);
}

function refuse(response: ServerResponse): void {
  response.writeHead(401, { "www-authenticate": 'Basic realm="git"', "content-type": "text/plain" });
  response.end("credentials are needed\n");
}
