import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { ServerOptions } from "node:https";
import type { AddressInfo } from "node:net";

export interface TlsServer extends AsyncDisposable {
  readonly url: string;
  /** Uses another certificate from the next handshake on, and ends the connections that there are. */
  replaceCertificate(pair: { readonly certificate: string; readonly key: string }): void;
}

/** A server that answers over TLS 1.2 or later. */
export async function startTlsServer(
  pair: { readonly certificate: string; readonly key: string },
  answer: (request: IncomingMessage, response: ServerResponse) => void,
  options: ServerOptions = {},
): Promise<TlsServer> {
  const server = createServer({ key: pair.key, cert: pair.certificate, ...options }, (request, response) => {
    request.resume();
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `https://localhost:${(server.address() as AddressInfo).port}`,
    replaceCertificate(next) {
      server.setSecureContext({ key: next.key, cert: next.certificate });
      server.closeAllConnections();
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
