import { randomBytes } from "node:crypto";
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { request as sendRequest } from "node:http";
import { createServer } from "node:https";

/** What asked for a token, as it came. */
export interface TokenRequest {
  readonly user: string;
  readonly password: string;
  readonly service: string | null;
}

/** GitLab's Dependency Proxy and its virtual registry of number 1, on port 443, in front of a registry that asks nobody. */
export interface GitlabRegistry extends AsyncDisposable {
  readonly tokenRequests: readonly TokenRequest[];
  /** Status of the answer to whoever asks for an image with a good token; undefined: the image. */
  refusal: number | undefined;
}

const PROXIED =
  /^\/v2\/(?:[a-z0-9/-]+\/dependency_proxy\/containers|virtual_registries\/container\/1)\/(.+\/(?:manifests|blobs)\/.+)$/;

/**
 * Starts it. Whoever has the password of `gitlab-ci-token` may pull.
 *
 * @param upstream - base URL of the registry; the images are below `library/`
 * @see https://docs.gitlab.com/user/packages/dependency_proxy/
 */
export async function startGitlabRegistry(options: {
  readonly host: string;
  readonly upstream: string;
  readonly password: string;
  readonly certificate: string;
  readonly key: string;
}): Promise<GitlabRegistry> {
  const { host, upstream, password, certificate, key } = options;
  const tokenRequests: TokenRequest[] = [];
  const token = randomBytes(16).toString("hex");

  const giveToken = (url: URL, header: string, response: ServerResponse): void => {
    const pair = Buffer.from(header.replace(/^Basic /, ""), "base64").toString("utf8");
    const colon = pair.indexOf(":");
    const asked = { user: pair.slice(0, colon), password: pair.slice(colon + 1) };
    tokenRequests.push({ ...asked, service: url.searchParams.get("service") });
    const isKnown = asked.user === "gitlab-ci-token" && asked.password === password;
    response.writeHead(isKnown ? 200 : 401, { "content-type": "application/json" });
    response.end(isKnown ? JSON.stringify({ token }) : '{"errors":[{"code":"UNAUTHORIZED","message":"denied"}]}');
  };
  const respond = (incoming: IncomingMessage, response: ServerResponse): void => {
    const url = new URL(incoming.url ?? "", `https://${host}`);
    const header = incoming.headers.authorization ?? "";
    if (url.pathname === "/jwt/auth") return giveToken(url, header, response);
    if (header !== `Bearer ${token}`) {
      const challenge = `Bearer realm="https://${host}/jwt/auth",service="dependency_proxy"`;
      response.writeHead(401, { "www-authenticate": challenge, "docker-distribution-api-version": "registry/2.0" });
      response.end('{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}');
      return undefined;
    }
    const [, path] = PROXIED.exec(url.pathname) ?? [];
    if (path === undefined || gitlab.refusal !== undefined) {
      response.writeHead(url.pathname === "/v2/" ? 200 : (gitlab.refusal ?? 404)).end();
      return undefined;
    }
    const { accept } = incoming.headers;
    const onward = sendRequest(`${upstream}/v2/library/${path}`, {
      method: incoming.method,
      headers: accept === undefined ? {} : { accept },
    });
    onward.once("response", (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    onward.once("error", () => response.destroy());
    onward.end();
    return undefined;
  };

  const server = createServer({ cert: certificate, key }, respond).listen(443, host);
  await once(server, "listening");
  const gitlab: GitlabRegistry = {
    tokenRequests,
    refusal: undefined,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
  return gitlab;
}
