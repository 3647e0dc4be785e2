import type { Socket } from "node:net";
import type { SecureContext, TLSSocket } from "node:tls";

import { decideProxy } from "@fleetfoot/proxy-env";
import type { ProxySettings } from "@fleetfoot/proxy-env";
import { createProxyDispatcher } from "@fleetfoot/proxy-env/dispatcher";
import { Agent, buildConnector } from "undici";
import type { Dispatcher } from "undici";

const CONNECT_TIMEOUT_MS = 30_000;
const TLS_HANDSHAKE_TIMEOUT_MS = 10_000;
const KEEPALIVE_DELAY_MS = 30_000;
const IDLE_TIMEOUT_MS = 90_000;
/** An answer with more is a failure; the platform's limit of 16 KiB would be one for answers that a proxy has padded. */
const MAX_HEADER_BYTES = 1024 * 1024;

export interface DispatcherOptions {
  /** @default what the platform trusts, without a certificate of our own */
  readonly secureContext?: SecureContext | undefined;
  /** Which proxy leads where. @default no proxies */
  readonly proxies?: ProxySettings | undefined;
  /** Told of every TLS connection that was made with a whole handshake. */
  readonly onSecureConnection?: (origin: string, socket: TLSSocket) => void;
}

/**
 * Pools of HTTP/1.1 connections, direct ones and ones through proxies, with the limits of coordinator-protocol 1.3.
 *
 * @see coordinator-protocol 1.3, 14
 */
export function createDispatcher(options: DispatcherOptions = {}): Dispatcher {
  const { proxies } = options;
  const connect = createConnector(options);
  if (proxies === undefined) return createAgent(connect);
  return createProxyDispatcher({ decide: (url) => decideProxy(proxies, url), connect, createAgent });
}

function createAgent(connect: buildConnector.connector): Agent {
  return new Agent({
    // A held poll keeps its connection busy, so a cap on connections would block the calls of running jobs.
    connections: null,
    keepAliveTimeout: IDLE_TIMEOUT_MS,
    keepAliveMaxTimeout: IDLE_TIMEOUT_MS,
    maxHeaderSize: MAX_HEADER_BYTES,
    allowH2: false,
    connect,
  });
}

/** Connects in two steps, since connecting and the TLS handshake have a time limit each; a tunnel of a proxy takes the place of the first. */
function createConnector({ secureContext, onSecureConnection }: DispatcherOptions): buildConnector.connector {
  const keepAlive = { keepAlive: true, keepAliveInitialDelay: KEEPALIVE_DELAY_MS };
  const connectTcp = buildConnector({ timeout: CONNECT_TIMEOUT_MS, ...keepAlive });
  const startTls = buildConnector({
    timeout: TLS_HANDSHAKE_TIMEOUT_MS,
    minVersion: "TLSv1.2",
    allowH2: false,
    ...keepAlive,
    ...(secureContext === undefined ? {} : { secureContext }),
  });

  const secure: buildConnector.connector = (target, callback) => {
    startTls(target, (...[error, socket]) => {
      if (error !== null) {
        callback(error, null);
        return;
      }
      tell(`https://${target.host ?? target.hostname}`, socket);
      callback(null, socket);
    });
  };

  function tell(origin: string, socket: Socket | TLSSocket): void {
    if ("isSessionReused" in socket && !socket.isSessionReused()) onSecureConnection?.(origin, socket);
  }

  return (target, callback) => {
    if (target.protocol !== "https:") {
      connectTcp(target, callback);
    } else if (target.httpSocket !== undefined) {
      secure(target, callback);
    } else {
      connectTcp({ ...target, protocol: "http:", port: target.port || "443" }, (...[error, httpSocket]) => {
        if (error === null) secure({ ...target, httpSocket }, callback);
        else callback(error, null);
      });
    }
  };
}
