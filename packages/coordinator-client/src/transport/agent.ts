import { Agent, buildConnector } from "undici";

const CONNECT_TIMEOUT_MS = 30_000;
const TLS_HANDSHAKE_TIMEOUT_MS = 10_000;
const KEEPALIVE_DELAY_MS = 30_000;
const IDLE_TIMEOUT_MS = 90_000;

/** A pool of HTTP/1.1 connections with the limits of coordinator-protocol 1.3. */
export function createAgent(): Agent {
  const keepAlive = { keepAlive: true, keepAliveInitialDelay: KEEPALIVE_DELAY_MS };
  const connectTcp = buildConnector({ timeout: CONNECT_TIMEOUT_MS, ...keepAlive });
  const startTls = buildConnector({
    timeout: TLS_HANDSHAKE_TIMEOUT_MS,
    minVersion: "TLSv1.2",
    allowH2: false,
    ...keepAlive,
  });
  return new Agent({
    // A held poll keeps its connection busy, so a cap on connections would block the calls of running jobs.
    connections: null,
    keepAliveTimeout: IDLE_TIMEOUT_MS,
    keepAliveMaxTimeout: IDLE_TIMEOUT_MS,
    allowH2: false,
    // Two steps, since connecting and the TLS handshake have a time limit each.
    connect(target, callback) {
      if (target.protocol !== "https:") {
        connectTcp(target, callback);
        return;
      }
      connectTcp({ ...target, protocol: "http:", port: target.port || "443" }, (...[error, socket]) => {
        if (error === null) {
          startTls({ ...target, httpSocket: socket }, callback);
        } else {
          callback(error, null);
        }
      });
    },
  });
}
