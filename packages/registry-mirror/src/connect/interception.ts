import { createServer } from "node:tls";
import type { Server, TLSSocket } from "node:tls";
import type { Duplex } from "node:stream";
import { withDeadline } from "../clock.ts";
import type { Clock } from "../clock.ts";
import type { Logger } from "../logger.ts";
import type { Metrics } from "../metrics.ts";
import type { Leaf, Leaves } from "./certificates/leaves.ts";
import { HelloCollector, unrecognizedNameAlert } from "./client-hello.ts";
import { formatTarget } from "./target.ts";
import type { ConnectTarget } from "./target.ts";

export interface InterceptionOptions {
  readonly leaves: Leaves;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** For the client's first message, and once more for the rest until TLS has come about. */
  readonly handshakeMs: number;
}

/** Takes the TLS off connections that are meant for listed hosts. */
export class Interception {
  readonly #options: InterceptionOptions;
  readonly #onSecure: (inside: TLSSocket, target: ConnectTarget) => void;
  readonly #servers = new Map<string, { readonly server: Server; leaf: Leaf }>();
  readonly #silent = new Set<Duplex>();

  /** @param onSecure - gets what is inside; never for a client that speaks no TLS, means another host, or is too slow */
  constructor(options: InterceptionOptions, onSecure: (inside: TLSSocket, target: ConnectTarget) => void) {
    this.#options = options;
    this.#onSecure = onSecure;
  }

  /** Answers a connection in the name of a host. */
  async answer(socket: Duplex, head: Buffer, target: ConnectTarget): Promise<void> {
    const { clock, handshakeMs } = this.#options;
    const late = (): Error => new Error("it took too long");
    this.#silent.add(socket);
    try {
      const server = await this.#serverFor(target);
      const hello = await withDeadline(clock, handshakeMs, late, (signal) => readHello(socket, head, signal));
      if (hello === undefined) {
        this.#failed(target, "it is no TLS");
        socket.destroy();
      } else if (hello.serverName !== undefined && hello.serverName !== target.host) {
        this.#failed(target, "it names another host");
        socket.end(unrecognizedNameAlert, () => socket.destroy());
      } else {
        socket.unshift(hello.bytes);
        server.emit("connection", socket);
      }
    } catch (error) {
      this.#failed(target, error instanceof Error ? error.message : String(error));
      socket.destroy();
    } finally {
      this.#silent.delete(socket);
    }
  }

  /** Ends what has not shown what it is. */
  close(): void {
    for (const socket of this.#silent) socket.destroy();
  }

  async #serverFor(target: ConnectTarget): Promise<Server> {
    const leaf = await this.#options.leaves.for(target.host);
    const name = formatTarget(target);
    const known = this.#servers.get(name);
    if (known !== undefined) {
      if (known.leaf !== leaf) known.server.setSecureContext({ cert: leaf.cert, key: leaf.key, minVersion: "TLSv1.2" });
      known.leaf = leaf;
      return known.server;
    }
    // It never listens: one per host, so that the certificate goes by what the client asked to be connected to, not by what it
    // says inside, and so that sessions can be resumed.
    const server = createServer({
      cert: leaf.cert,
      key: leaf.key,
      minVersion: "TLSv1.2",
      ALPNProtocols: ["http/1.1"],
      handshakeTimeout: this.#options.handshakeMs,
    });
    server.on("secureConnection", (inside) => this.#onSecure(inside, target));
    server.on("tlsClientError", (error, inside) => {
      this.#failed(target, error.message);
      inside.destroy();
    });
    this.#servers.set(name, { server, leaf });
    return server;
  }

  #failed(target: ConnectTarget, reason: string): void {
    const { logger, metrics } = this.#options;
    metrics.add("handshakes_failed_total");
    logger.info("an intercepted connection came to nothing", { target: formatTarget(target), reason });
  }
}

/**
 * Reads the client's first message.
 *
 * @returns undefined for what is none; rejects when the connection ends first
 */
function readHello(
  socket: Duplex,
  head: Buffer,
  signal: AbortSignal,
): Promise<{ readonly bytes: Buffer; readonly serverName: string | undefined } | undefined> {
  return new Promise((resolve, reject) => {
    const collector = new HelloCollector();
    const settle = (act: () => void): void => {
      socket.off("data", onData).off("close", onGone).off("end", onGone).off("error", onGone);
      signal.removeEventListener("abort", onAbort);
      socket.pause();
      act();
    };
    const onData = (chunk: Buffer): void => {
      const state = collector.add(chunk);
      if (state.kind === "invalid") settle(() => resolve(undefined));
      else if (state.kind === "complete")
        settle(() => resolve({ bytes: collector.bytes, serverName: state.serverName }));
    };
    const onGone = (): void => settle(() => reject(new Error("the client is gone")));
    const onAbort = (): void => settle(() => reject(signal.reason as Error));
    socket.on("data", onData).on("close", onGone).on("end", onGone).on("error", onGone);
    signal.addEventListener("abort", onAbort, { once: true });
    if (head.byteLength > 0) onData(head);
  });
}
