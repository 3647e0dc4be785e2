import { mkdtemp, rm } from "node:fs/promises";
import type { Server } from "node:http";
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { CoordinatorHandler, LocalCoordinator, LocalCoordinatorOptions } from "./coordinator.ts";
import { createLocalCoordinator, openLocalCoordinator } from "./create-coordinator.ts";
import { LocalCoordinatorError } from "./errors.ts";
import { answerRequests } from "./http/answer-requests.ts";
import { shareCore } from "./internals.ts";
import { silentLogger } from "./logger.ts";

interface StateDirectoryOption {
  /** Folder for everything that outlives the process. @default a temporary one */
  readonly stateDirectory?: string;
}

export interface StartLocalCoordinatorOptions
  extends Omit<LocalCoordinatorOptions, "stateDirectory">, StateDirectoryOption {
  /** @default "127.0.0.1" */
  readonly host?: string;
  /** 0 takes a free one. @default 0 */
  readonly port?: number;
  /** Serves `https` with these PEM texts. */
  readonly tls?: {
    readonly key: string;
    readonly certificate: string;
    /** Clients need a certificate of this authority. */
    readonly clientAuthority?: string;
  };
  /** Goes around the handler, for example to record requests. */
  readonly wrap?: (handler: CoordinatorHandler) => CoordinatorHandler;
}

export interface StartedCoordinator extends LocalCoordinator {
  /** Instance URL for runners, for example `http://127.0.0.1:40123`. */
  readonly url: string;
  readonly port: number;
}

/**
 * Makes a coordinator and lets runners reach it over HTTP.
 *
 * With a state directory it goes on with what an earlier coordinator kept there, as `openLocalCoordinator` does. Without one
 * it has a temporary folder that goes with it.
 *
 * @throws {LocalCoordinatorError} `listen-failed`, and what `openLocalCoordinator` throws
 */
export async function startLocalCoordinator(options: StartLocalCoordinatorOptions = {}): Promise<StartedCoordinator> {
  const { host = "127.0.0.1", port: wantedPort = 0, tls, wrap = (handler) => handler } = options;
  const server = createWebServer(tls);
  // Whoever is quick waits until everything is as it was.
  const { promise: handler, resolve: begin } = Promise.withResolvers<CoordinatorHandler>();
  const answering = answerRequests(
    server,
    async (request, facts) => (await handler)(request, facts),
    options.logger ?? silentLogger,
  );
  await listen(server, host, wantedPort);
  const { port } = server.address() as AddressInfo;
  const shownHost = host.includes(":") ? `[${host}]` : host;
  const url = `${tls === undefined ? "http" : "https"}://${shownHost}:${port}`;
  let opened: Opened;
  try {
    opened = await open({ url, ...options });
  } catch (error) {
    server.close();
    server.closeAllConnections();
    throw error;
  }
  const { coordinator } = opened;
  begin(wrap(coordinator.handle));
  const close = async (): Promise<void> => {
    const { promise, resolve } = Promise.withResolvers<void>();
    server.close(() => resolve());
    try {
      await coordinator.close();
    } finally {
      const late = setTimeout(() => server.closeAllConnections(), sendGraceMs);
      // What has been answered is to arrive.
      await Promise.race([Promise.all(answering), promise]);
      server.closeAllConnections();
      clearTimeout(late);
      await promise;
      await opened.remove();
    }
  };
  const started = Object.defineProperties({} as StartedCoordinator, {
    ...Object.getOwnPropertyDescriptors(coordinator),
    url: { value: url, enumerable: true },
    port: { value: port, enumerable: true },
    close: { value: close, enumerable: true },
    [Symbol.asyncDispose]: { value: close },
  });
  shareCore(coordinator, started);
  return started;
}

interface Opened {
  readonly coordinator: LocalCoordinator;
  /** Removes what was made for this coordinator alone. */
  readonly remove: () => Promise<void>;
}

async function open(options: Omit<LocalCoordinatorOptions, "stateDirectory"> & StateDirectoryOption): Promise<Opened> {
  const { stateDirectory } = options;
  if (stateDirectory !== undefined) {
    return { coordinator: await openLocalCoordinator({ ...options, stateDirectory }), remove: () => Promise.resolve() };
  }
  const temporary = await mkdtemp(join(tmpdir(), "fleetfoot-coordinator-"));
  const remove = (): Promise<void> => rm(temporary, { recursive: true, force: true });
  try {
    return { coordinator: createLocalCoordinator({ ...options, stateDirectory: temporary }), remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

function createWebServer(tls: StartLocalCoordinatorOptions["tls"]): Server {
  // A runner's upload may take as long as it takes; a runner that polls every few seconds keeps its connection.
  const timeouts = { requestTimeout: 0, keepAliveTimeout: 75_000 };
  if (tls === undefined) return createServer(timeouts);
  const { key, certificate: cert, clientAuthority } = tls;
  const clients =
    clientAuthority === undefined ? {} : { ca: clientAuthority, requestCert: true, rejectUnauthorized: true };
  try {
    return createTlsServer({ ...timeouts, key, cert, minVersion: "TLSv1.2", ...clients });
  } catch (error) {
    // The texts are secret; what is wrong with them is not.
    const message = error instanceof Error ? error.message : String(error);
    throw new LocalCoordinatorError("invalid-options", `tls: key and certificate cannot be used: ${message}`);
  }
}

async function listen(server: Server, host: string, port: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.listen(port, host, () => resolve());
  try {
    await promise;
  } catch (error) {
    throw new LocalCoordinatorError("listen-failed", `cannot listen on ${host}:${port}`, { cause: error });
  }
  server.off("error", reject);
}

/** How long closing waits for answers that are being sent. */
const sendGraceMs = 500;
