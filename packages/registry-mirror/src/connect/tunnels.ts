import { connect } from "node:net";
import type { Duplex } from "node:stream";
import { withDeadline } from "../clock.ts";
import type { Clock } from "../clock.ts";
import type { Logger } from "../logger.ts";
import type { Metrics } from "../metrics.ts";
import { formatTarget } from "./target.ts";
import type { ConnectTarget } from "./target.ts";

/** Connects to an address that was checked. Rejects with the signal's reason when it is aborted. */
export type Dial = (address: string, port: number, signal: AbortSignal) => Promise<Duplex>;

export interface TunnelsOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly maxTunnels: number;
  readonly connectMs: number;
  readonly idleMs: number;
}

/** Connections that are passed on untouched. */
export class Tunnels {
  readonly #options: TunnelsOptions;
  readonly #open = new Set<() => void>();
  readonly #ended = new Set<() => void>();
  #opening = 0;

  constructor(options: TunnelsOptions) {
    this.#options = options;
  }

  get isFull(): boolean {
    return this.#open.size + this.#opening >= this.#options.maxTunnels;
  }

  /** Opens the far side of a tunnel; takes its place until {@link Tunnels.join} or a failure. */
  async open(action: (signal: AbortSignal) => Promise<Duplex>): Promise<Duplex> {
    this.#opening += 1;
    const { clock, connectMs } = this.#options;
    let isLate = false;
    try {
      return await withDeadline(
        clock,
        connectMs,
        () => new Error("it did not answer in time"),
        async (signal) => {
          const far = await action(signal);
          // Nobody takes what comes too late.
          if (isLate || signal.aborted) far.destroy();
          return far;
        },
      );
    } catch (error) {
      isLate = true;
      throw error;
    } finally {
      this.#opening -= 1;
    }
  }

  /** Passes bytes on in both directions, and the end of each, until both have ended or nothing came for long. */
  join(near: Duplex, far: Duplex, target: ConnectTarget): void {
    const { clock, idleMs, logger, metrics } = this.#options;
    const startedMs = clock.now();
    let bytes = 0;
    let lastMs = startedMs;
    let closed = 0;
    const idle = new AbortController();
    const count = (chunk: Buffer): void => {
      bytes += chunk.byteLength;
      lastMs = clock.now();
    };
    const end = (): void => {
      if (!this.#open.delete(end)) return;
      idle.abort();
      near.destroy();
      far.destroy();
      metrics.add("tunnel_bytes_total", {}, bytes);
      metrics.set("tunnels_open", {}, this.#open.size);
      logger.info("a tunnel has ended", { target: formatTarget(target), bytes, milliseconds: clock.now() - startedMs });
      if (this.#open.size === 0) for (const callback of this.#ended) callback();
    };
    this.#open.add(end);
    metrics.set("tunnels_open", {}, this.#open.size);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.on("data", count);
      from.pipe(to);
      from.on("error", end);
      from.once("close", () => {
        closed += 1;
        // A side that is gone without an end takes the other one with it.
        if (closed === 2 || !from.readableEnded) end();
      });
    }
    void this.#watch(() => lastMs, end, idle.signal, idleMs);
  }

  /** Waits until the last one has ended; those that are left when the signal is aborted are cut. */
  async close(limit: AbortSignal): Promise<void> {
    if (this.#open.size === 0) return;
    await new Promise<void>((resolve) => {
      this.#ended.add(resolve);
      const cut = (): void => {
        for (const end of this.#open) end();
      };
      if (limit.aborted) cut();
      else limit.addEventListener("abort", cut, { once: true });
    });
  }

  async #watch(lastMs: () => number, end: () => void, signal: AbortSignal, idleMs: number): Promise<void> {
    const { clock } = this.#options;
    try {
      for (;;) {
        const leftMs = lastMs() + idleMs - clock.now();
        if (leftMs <= 0) break;
        await clock.sleep(leftMs, signal);
      }
      end();
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }
}

/** A TCP connection of this machine. */
export const systemDial: Dial = (address, port, signal) =>
  new Promise((resolve, reject) => {
    const socket = connect({ host: address, port, allowHalfOpen: true });
    const onAbort = (): void => {
      socket.destroy();
      reject(signal.reason as Error);
    };
    signal.addEventListener("abort", onAbort, { once: true });
    const settle = (): void => signal.removeEventListener("abort", onAbort);
    socket.once("connect", () => {
      settle();
      socket.off("error", reject);
      resolve(socket);
    });
    socket.once("error", reject);
    socket.once("error", settle);
  });
