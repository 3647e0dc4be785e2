import type { Socket } from "node:net";
import type { SecureContext, TLSSocket } from "node:tls";

import { Agent, buildConnector } from "undici";

const CONNECT_TIMEOUT_MS = 30_000;
const TLS_HANDSHAKE_TIMEOUT_MS = 10_000;
const KEEPALIVE_DELAY_MS = 30_000;
const IDLE_TIMEOUT_MS = 90_000;
/** An answer with more is a failure; the platform's limit of 16 KiB would be one for answers that a proxy has padded. */
const MAX_HEADER_BYTES = 1024 * 1024;

export interface AgentOptions {
  /** @default what the platform trusts, without a certificate of our own */
  readonly secureContext?: SecureContext | undefined;
  /** Told of every TLS connection that was made with a whole handshake. */
  readonly onSecureConnection?: (origin: string, socket: TLSSocket) => void;
}

/** A pool of HTTP/1.1 connections with the limits of coordinator-protocol 1.3. */
export function createAgent({ secureContext, onSecureConnection }: AgentOptions = {}): Agent {
  const keepAlive = { keepAlive: true, keepAliveInitialDelay: KEEPALIVE_DELAY_MS };
  const connectTcp = buildConnector({ timeout: CONNECT_TIMEOUT_MS, ...keepAlive });
  const startTls = buildConnector({
    timeout: TLS_HANDSHAKE_TIMEOUT_MS,
    minVersion: "TLSv1.2",
    allowH2: false,
    ...keepAlive,
    ...(secureContext === undefined ? {} : { secureContext }),
  });
  return new Agent({
    // A held poll keeps its connection busy, so a cap on connections would block the calls of running jobs.
    connections: null,
    keepAliveTimeout: IDLE_TIMEOUT_MS,
    keepAliveMaxTimeout: IDLE_TIMEOUT_MS,
    maxHeaderSize: MAX_HEADER_BYTES,
    allowH2: false,
    // Two steps, since connecting and the TLS handshake have a time limit each.
    connect(target, callback) {
      if (target.protocol !== "https:") {
        connectTcp(target, callback);
        return;
      }
      connectTcp({ ...target, protocol: "http:", port: target.port || "443" }, (...[error, socket]) => {
        if (error === null) {
          startTls({ ...target, httpSocket: socket }, (...[tlsError, tlsSocket]) => {
            if (tlsError !== null) {
              callback(tlsError, null);
              return;
            }
            tell(`https://${target.host ?? target.hostname}`, tlsSocket);
            callback(null, tlsSocket);
          });
        } else {
          callback(error, null);
        }
      });
    },
  });

  function tell(origin: string, socket: Socket | TLSSocket): void {
    if ("isSessionReused" in socket && !socket.isSessionReused()) onSecureConnection?.(origin, socket);
  }
}
