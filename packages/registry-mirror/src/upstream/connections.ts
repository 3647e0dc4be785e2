import { lookup as systemLookup } from "node:dns";
import type { LookupAddress } from "node:dns";
import { isIP } from "node:net";
import type { LookupFunction } from "node:net";
import type { Readable } from "node:stream";
import { Agent } from "undici";
import type { buildConnector, Dispatcher } from "undici";
import { viaHeader } from "../loops.ts";
import { classOfAddress, reachableFrom } from "./address.ts";
import type { AddressClass, AllowedRanges } from "./address.ts";

/** An answer of which the body is still to be read or thrown away. */
export type RawAnswer = Dispatcher.ResponseData;

/** The address is none that may be connected to. The name or address itself is not told to clients. */
export class ForbiddenAddressError extends Error {
  override readonly name = "ForbiddenAddressError";
}

export interface ConnectionsOptions {
  /** The registry's own URL, which the operator wrote down. */
  readonly registry: URL;
  readonly ca: string | undefined;
  readonly connectMs: number;
  readonly allowed: AllowedRanges;
  /** In place of own connections; addresses are then resolved elsewhere, so only literal ones are checked. */
  readonly dispatcher: Dispatcher | undefined;
  /** By which this mirror knows its own requests again. */
  readonly mirrorName: string;
}

/**
 * Connections to one registry and to wherever it leads. The registry itself may lie anywhere but at a special address;
 * from there nobody is led further inside: a name is resolved once, all its addresses are checked, and the connection is
 * made to what was checked.
 */
export class Connections {
  readonly #options: ConnectionsOptions;
  readonly #agents = new Map<string, Agent>();
  #origin: AddressClass = "public";

  constructor(options: ConnectionsOptions) {
    this.#options = options;
    const literal = literalAddress(options.registry);
    if (literal !== undefined) this.#origin = classOfAddress(literal);
  }

  /**
   * @throws {ForbiddenAddressError} the address must not be connected to
   */
  async send(url: URL, request: SentRequest): Promise<RawAnswer> {
    const isRegistry = url.origin === this.#options.registry.origin;
    const classes = isRegistry ? anywhere : reachableFrom(this.#origin);
    const literal = literalAddress(url);
    if (literal !== undefined) this.#check([literal], classes);
    const dispatcher = this.#options.dispatcher ?? this.#agent(isRegistry ? "registry" : this.#origin, classes);
    return dispatcher.request({
      origin: url.origin,
      path: `${url.pathname}${url.search}`,
      method: request.method,
      headers: { ...request.headers, [viaHeader]: this.#options.mirrorName },
      signal: request.signal,
      ...(request.body === undefined ? {} : { body: request.body }),
      // Own limits are in force, with a clock that can be replaced.
      headersTimeout: 0,
      bodyTimeout: 0,
      // Read in fewer, longer steps.
      highWaterMark: 512 * 1024,
    });
  }

  /** Where addresses may lie that the registry leads to. */
  get reach(): ReadonlySet<AddressClass> {
    return reachableFrom(this.#origin);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#agents.values()].map((agent) => agent.destroy()));
  }

  #agent(key: string, classes: ReadonlySet<AddressClass>): Agent {
    const existing = this.#agents.get(key);
    if (existing !== undefined) return existing;
    const { ca, connectMs } = this.#options;
    const lookup: LookupFunction = (hostname, _options, callback) => {
      systemLookup(hostname, { all: true }, (error, addresses) => {
        if (error !== null) return callback(error, []);
        try {
          this.#check(
            addresses.map(({ address }) => address),
            classes,
          );
        } catch (problem) {
          return callback(problem as Error, []);
        }
        if (key === "registry") this.#origin = classOfFirst(addresses);
        callback(null, addresses);
      });
    };
    const connect: ConnectOptions = { timeout: connectMs, lookup, highWaterMark, ...(ca === undefined ? {} : { ca }) };
    const agent = new Agent({
      connect,
      keepAliveTimeout: 30_000,
      maxResponseSize: -1,
    });
    this.#agents.set(key, agent);
    return agent;
  }

  #check(addresses: readonly string[], classes: ReadonlySet<AddressClass>): void {
    for (const address of addresses) {
      if (classes.has(classOfAddress(address)) || this.#options.allowed.contains(address)) continue;
      throw new ForbiddenAddressError("it leads to an address that this mirror does not connect to (allowPrivate)");
    }
  }
}

export interface SentRequest {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Readable | undefined;
  readonly signal: AbortSignal;
}

/** Goes to the socket as it is. */
type ConnectOptions = Partial<buildConnector.BuildOptions> & { readonly highWaterMark: number };

/** More than a socket gives at once, so that it is not stopped and started for each chunk. */
const highWaterMark = 256 * 1024;

/** Gives a connection back without reading what is left of an answer. */
export function discard(answer: RawAnswer): void {
  answer.body.on("error", () => {});
  answer.body.destroy();
}

const anywhere: ReadonlySet<AddressClass> = new Set(["public", "private", "loopback"]);

function literalAddress(url: URL): string | undefined {
  const host = url.hostname.replace(/^\[|\]$/g, "");
  return isIP(host) === 0 ? undefined : host;
}

function classOfFirst(addresses: readonly LookupAddress[]): AddressClass {
  const [first] = addresses;
  return first === undefined ? "public" : classOfAddress(first.address);
}
