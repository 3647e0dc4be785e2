import type { buildConnector } from "undici";

import { ProxyEnvError, TargetConnectionError } from "../errors.ts";
import type { ProxyServer } from "../proxy-server.ts";
import { connectToProxy } from "../tunnel/connect-to-proxy.ts";
import type { ProxyConnectionOptions } from "../tunnel/connect-to-proxy.ts";
import { openTunnel } from "../tunnel/open-tunnel.ts";

/** Connects without a proxy. */
export function directConnector(connect: buildConnector.connector): buildConnector.connector {
  return (target, callback) => {
    const address = addressOf(target);
    connect(
      target,
      telling(callback, (cause) => new TargetConnectionError(address, undefined, "directly", cause)),
    );
  };
}

/** Connects through a tunnel of a proxy. */
export function tunnelConnector(
  proxy: ProxyServer,
  connect: buildConnector.connector,
  options: ProxyConnectionOptions,
): buildConnector.connector {
  return (target, callback) => {
    const address = addressOf(target);
    const route = `proxied through ${proxy.address}`;
    openTunnel(proxy, address, options).then(
      (httpSocket) => {
        const tell = telling(callback, (cause) => new TargetConnectionError(address, proxy.address, route, cause));
        connect({ ...target, httpSocket }, tell);
      },
      (error: Error) => callback(error, null),
    );
  };
}

/** Connects to the proxy itself, for requests that it forwards. */
export function forwardConnector(proxy: ProxyServer, options: ProxyConnectionOptions): buildConnector.connector {
  return (_target, callback) => {
    connectToProxy(proxy, "targets without TLS", options).then(
      (socket) => callback(null, socket),
      (error: Error) => callback(error, null),
    );
  };
}

function telling(callback: buildConnector.Callback, explain: (cause: Error) => Error): buildConnector.Callback {
  return (...[error, socket]) => {
    if (error === null) callback(null, socket);
    else callback(ProxyEnvError.isInstance(error) ? error : explain(error), null);
  };
}

function addressOf({ hostname, protocol, port }: buildConnector.Options): string {
  const host = hostname.includes(":") ? `[${hostname}]` : hostname;
  return `${host}:${port || (protocol === "https:" ? "443" : "80")}`;
}
