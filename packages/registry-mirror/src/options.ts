import type { CacheStore } from "@fleetfoot/cache-backend";
import type { Dispatcher } from "undici";
import type { Clock } from "./clock.ts";
import type { Logger } from "./logger.ts";
import type { Secret } from "./secret.ts";

/** How long a tag is believed without asking: milliseconds, 0 to ask every time, or never again. */
export type TagLifetime = number | "forever";

/** What an upstream knows us by. */
export interface UpstreamCredentials {
  readonly username: string;
  readonly password: Secret;
}

/** A registry that images come from. */
export interface UpstreamOptions {
  /** Base URL without `/v2/`, for example `https://registry-1.docker.io`. */
  readonly url: string;
  /** More hosts by which clients may call it, in `ns` or in front of a name. @default only the URL's own */
  readonly hosts?: readonly string[];
  /** Asked for whenever they are needed, so that short-lived ones can change. @default none: anonymous */
  readonly credentials?: UpstreamCredentials | ((signal: AbortSignal) => Promise<UpstreamCredentials>);
  /**
   * Who may have what the credentials open. `public`: they only raise limits, and a name is served only if it is public.
   * `shared`: everybody who reaches the mirror, for names that match `sharedNames`. `pass-through`: the client's own login
   * decides; ours are not used.
   *
   * @default "public"
   */
  readonly access?: "pass-through" | "public" | "shared";
  /** Patterns (RE2) of names that the credentials are used for when `access` is `shared`. @default [] */
  readonly sharedNames?: readonly string[];
  /** @default 60000, and 86400000 inside a virtual registry */
  readonly tagTtlMs?: TagLifetime;
  /** Lifetimes by pattern (RE2) of the tag; the first that fits goes before `tagTtlMs`. @default [] */
  readonly tagRules?: readonly { readonly pattern: string; readonly ttlMs: TagLifetime }[];
  /** Patterns (RE2) of names, as the upstream has them; an empty list allows all. @default [] */
  readonly allow?: readonly string[];
  /** Patterns (RE2) of names that are refused, also when they are cached. Goes before `allow`. @default [] */
  readonly deny?: readonly string[];
  /** Patterns (RE2) of names that live here and nowhere else: no other upstream of a virtual registry sees them. @default [] */
  readonly exclusive?: readonly string[];
  /** Images (`library/node:22`) that are never removed to make room or because of their age, once they are cached. @default [] */
  readonly pins?: readonly string[];
  /** Put in front of every name. @default none */
  readonly addPrefix?: string;
  /** Hosts of token servers that may get the credentials besides those of the registry's own domain. @default [] */
  readonly realmHosts?: readonly string[];
  /** What a virtual registry does when this one fails. @default "next" */
  readonly onFailure?: "next" | "stop";
  /** Certificates (PEM) that its own must lead to. @default those of the system */
  readonly ca?: string;
  /** Blobs that are fetched at once; one that has waited 5 s for its turn is fetched all the same, up to twice as many. @default 16 */
  readonly maxFills?: number;
  /** Other requests at once. @default 64 */
  readonly maxRequests?: number;
}

/** An ordered list of upstreams behind names without a host: the first that has an image wins. */
export interface VirtualRegistryOptions {
  /** Ids of upstreams, in order. */
  readonly upstreams: readonly string[];
  /** First component of the names. @default the virtual registry's id */
  readonly prefix?: string;
  /** How long the upstream that had a name is asked first; 0 is never. @default 86400000 */
  readonly winnerTtlMs?: number;
}

/** Hands clients a URL of the shared store instead of the bytes. */
export interface RedirectOptions {
  /** Smaller blobs are relayed. @default 1048576 */
  readonly minBytes?: number;
  /** How long a URL works. @default 1200000 */
  readonly lifetimeMs?: number;
}

/** Limits of every wait, in milliseconds. */
export interface TimeLimits {
  /** For a connection, TLS included. @default 5000 */
  readonly connectMs?: number;
  /** For a token. @default 5000 */
  readonly tokenMs?: number;
  /** For the head of an answer about a manifest. @default 10000 */
  readonly manifestMs?: number;
  /** For the head of an answer about a blob. @default 20000 */
  readonly blobMs?: number;
  /** For something new of a body; then another try goes on with it. Below 1 KiB a second counts as nothing. @default 6000 */
  readonly idleMs?: number;
  /**
   * For something new of a blob, over all tries; then its clients are cut off. Engines need 15 seconds more until they go
   * elsewhere.
   *
   * @default 13000
   */
  readonly fillStallMs?: number;
  /** For everything that one manifest needs. @default 12000 */
  readonly manifestTotalMs?: number;
  /** For one upstream of a virtual registry, except the last. @default 4000 */
  readonly walkStepMs?: number;
  /** How long a blob that nobody wants any more is still fetched. @default 30000 */
  readonly abandonedFillMs?: number;
  /** For one answer of the shared store, and for the next piece of what it sends; then the upstream is asked. @default 5000 */
  readonly storeMs?: number;
  /** For a reader of a `Response` to read on; then what its body holds is let go. @default 300000 */
  readonly clientIdleMs?: number;
}

/** What a mirror is made of. */
export interface MirrorOptions {
  /** Absolute path of its own directory; created with mode 0700. One process at a time uses it. */
  readonly directory: string;
  /** By id: letters, digits, `-` and `_`. */
  readonly upstreams: Readonly<Record<string, UpstreamOptions>>;
  /** @default {} */
  readonly virtualRegistries?: Readonly<Record<string, VirtualRegistryOptions>>;
  /** Id of the upstream or virtual registry that names without a host belong to. @default the first upstream */
  readonly defaultRegistry?: string;
  /** Keeps blobs for several mirrors; the directory is a cache in front of it then. @default none */
  readonly store?: CacheStore;
  /** Needs a `store` that can sign URLs. @default every byte is relayed */
  readonly redirect?: RedirectOptions;
  /** Bytes of blobs that the directory may hold; the least recently used go first. @default no limit */
  readonly maxBytes?: number;
  /** Bytes of the disk that are left free. @default 268435456 */
  readonly reserveBytes?: number;
  /** Blobs that were not used for so long are removed. @default never */
  readonly maxUnusedMs?: number;
  /** How long a known tag is served although the upstream cannot be asked. @default 604800000 */
  readonly staleIfErrorMs?: number;
  /** Whether a tag that was deleted upstream is still served. @default false */
  readonly keepDeletedTags?: boolean;
  /** Whether `/v2/_catalog` lists what is cached. @default true */
  readonly catalog?: boolean;
  /** Ranges of addresses that redirects and token servers may lead to although they are private. @default [] */
  readonly allowPrivate?: readonly string[];
  readonly limits?: TimeLimits;
  /** Sends requests in place of own connections, for example through a proxy. @default direct connections */
  readonly dispatcher?: Dispatcher;
  /** @default the clock of this machine */
  readonly clock?: Clock;
  /** @default no log */
  readonly logger?: Logger;
}

/** Limits with their defaults. */
export const defaultLimits: Required<TimeLimits> = {
  connectMs: 5000,
  tokenMs: 5000,
  manifestMs: 10_000,
  blobMs: 20_000,
  idleMs: 6000,
  fillStallMs: 13_000,
  manifestTotalMs: 12_000,
  walkStepMs: 4000,
  abandonedFillMs: 30_000,
  storeMs: 5000,
  clientIdleMs: 300_000,
};
