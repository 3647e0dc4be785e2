import type { ProxySettings } from "@fleetfoot/proxy-env";
import type { Dispatcher } from "undici";

import { TransportError } from "../errors.ts";
import type { Logger } from "../logger.ts";
import { createDispatcher } from "./dispatcher.ts";
import { peerChain } from "./peer-chain.ts";
import type { TlsFiles, TlsMaterial } from "./tls-files.ts";
import { fingerprintOf, readTlsMaterial } from "./tls-files.ts";
import type { ServerCertificates } from "./transport.ts";

export interface ConnectionPoolOptions {
  readonly tlsFiles: TlsFiles;
  /** Undefined: everything is reached directly. */
  readonly proxies: ProxySettings | undefined;
  /** Age at which connections are made anew; 0 or less means never. */
  readonly maxAgeMs: number;
  readonly logger: Logger;
  readonly now: () => number;
}

/** Connections to coordinators and their object stores. */
export interface ConnectionPool {
  /** Looks whether a file for TLS has changed; connections are made anew then. Called before each request. */
  refresh(origin: string): Promise<void>;
  /**
   * What the next request goes through, to be used before anything else happens. Connections are made anew when the last time is longer
   * ago than the longest age. Whatever is under way then, as after a change of files, still ends on the connection that it has.
   *
   * @throws {TransportError} the pool is closed
   */
  dispatcher(): Dispatcher;
  /** What the tools of a job need to trust an origin that was connected to; undefined without TLS. */
  certificatesOf(origin: string): ServerCertificates | undefined;
  close(options: { readonly force: boolean }): Promise<void>;
}

/** @see coordinator-protocol 1.3, 1.4 */
export function createConnectionPool(options: ConnectionPoolOptions): ConnectionPool {
  const { tlsFiles, proxies, maxAgeMs, logger, now } = options;
  const retiring = new Set<Dispatcher>();
  const chains = new Map<string, string>();
  let current: Dispatcher | undefined;
  let material: TlsMaterial | undefined;
  let reading: Promise<TlsMaterial> | undefined;
  let sweptAt = now();
  let closed = false;
  let closing: Promise<unknown> | undefined;

  async function currentMaterial(): Promise<TlsMaterial> {
    if (reading !== undefined) return await reading;
    if (material !== undefined && material.fingerprint === (await fingerprintOf(tlsFiles))) return material;
    // Requests that notice the same change share one reading.
    reading ??= readTlsMaterial(tlsFiles, logger).finally(() => {
      reading = undefined;
    });
    return await reading;
  }

  function makeDispatcher(): Dispatcher {
    return createDispatcher({
      secureContext: material?.context,
      proxies,
      onSecureConnection: (origin, socket) => chains.set(origin, peerChain(socket)),
    });
  }

  /** The connections in use end with the request that uses them; idle ones close at once. */
  function retire(): void {
    if (current === undefined) return;
    const old = current;
    current = undefined;
    retiring.add(old);
    const forget = (): void => void retiring.delete(old);
    old.close().then(forget, forget);
  }

  return {
    async refresh(origin) {
      if (!origin.startsWith("https:")) return;
      const latest = await currentMaterial();
      if (latest === material) return;
      material = latest;
      retire();
    },
    dispatcher() {
      if (closed) throw new TransportError("the client is closed");
      if (maxAgeMs > 0 && now() - sweptAt > maxAgeMs) {
        sweptAt = now();
        retire();
      }
      return (current ??= makeDispatcher());
    },
    certificatesOf(origin) {
      const authority = material?.authority ?? chains.get(origin);
      return authority === undefined
        ? undefined
        : { authority, certificate: material?.certificate, key: material?.key };
    },
    async close({ force }) {
      closed = true;
      const all = [...retiring, ...(current === undefined ? [] : [current])];
      // Only once, since doing so again would be an error of undici's.
      if (force) closing = Promise.all(all.map((each) => each.destroy()));
      else closing ??= Promise.all(all.map((each) => each.close()));
      await closing;
    },
  };
}
