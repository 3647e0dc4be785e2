import { execFile } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { promisify } from "node:util";

const execute = promisify(execFile);

/** A real repository to fetch from. */
export interface GitRepository {
  readonly directory: string;
  /** Address for git on this host, which honours depths as a server does. */
  readonly url: string;
  /** @returns the commit's id */
  commit(files: Readonly<Record<string, string>>): Promise<string>;
  git(...args: readonly string[]): Promise<string>;
}

export async function createRepository(directory: string, initArgs: readonly string[] = []): Promise<GitRepository> {
  await mkdir(directory, { recursive: true });
  const git = async (...args: readonly string[]): Promise<string> => {
    const identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "protocol.file.allow=always"];
    const { stdout } = await execute("git", [...identity, ...args], { cwd: directory });
    return stdout.trim();
  };
  await git("init", "--quiet", "--initial-branch", "main", ...initArgs);
  return {
    directory,
    url: `file://${directory}`,
    git,
    commit: async (files) => {
      for (const [name, text] of Object.entries(files)) {
        await mkdir(dirname(join(directory, name)), { recursive: true });
        await writeFile(join(directory, name), text);
      }
      await git("add", "--all");
      await git("commit", "--quiet", "--allow-empty", "--message", "change");
      return git("rev-parse", "HEAD");
    },
  };
}

/** Serves a repository by HTTP to those who know the token. */
export interface GitServer {
  /** `http://user:token@host:port/g/p.git` */
  readonly urlWithToken: string;
  readonly urlWithoutToken: string;
  /** Credentials of each request that had any. */
  readonly credentials: readonly string[];
  close(): Promise<void>;
}

/** The plain-files protocol suffices: what matters here is who asks. */
export async function serveRepository(repository: GitRepository, token: string): Promise<GitServer> {
  await repository.git("update-server-info");
  const credentials: string[] = [];
  const server = createServer((request, response) => {
    const sent = /^Basic (.*)$/.exec(request.headers.authorization ?? "")?.[1];
    if (sent !== undefined) credentials.push(Buffer.from(sent, "base64").toString());
    if (sent === undefined || credentials.at(-1) !== `gitlab-ci-token:${token}`) {
      response.writeHead(401, { "WWW-Authenticate": 'Basic realm="git"' }).end();
      return;
    }
    const path = (request.url ?? "").replace(/\?.*$/, "").replace("/g/p.git/", "");
    readFile(join(repository.directory, ".git", path)).then(
      (body) => response.writeHead(200, { "Content-Type": "text/plain" }).end(body),
      () => response.writeHead(404).end(),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    urlWithToken: `http://gitlab-ci-token:${token}@${host}/g/p.git`,
    urlWithoutToken: `http://${host}/g/p.git`,
    credentials,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
