import type { CachedEntry, EntryFilter } from "./keeping/inventory.ts";
import type { Sample } from "./metrics.ts";
import type { Digest } from "./reference/grammar.ts";
import type { MirrorRequest, MirrorResponse } from "./serving/messages.ts";
import type { RelayRequest } from "./serving/relaying.ts";
import type { UpstreamState } from "./upstream/upstreams.ts";

/** A registry that is asked, as far as others may know it. */
export interface KnownRegistry {
  /** Id in the options. */
  readonly id: string;
  readonly access: "pass-through" | "public" | "shared";
}

/** A token server to which a registry sends its clients. */
export interface TokenServer {
  /** Host and port. */
  readonly host: string;
  /** Whether an address may be connected to for it: never further inside than where the registry itself lies. */
  mayBeAt(address: string): boolean;
}

/** How a mirror is doing. */
export interface MirrorStatus {
  readonly storedBytes: number;
  readonly storedBlobs: number;
  readonly maxBytes: number | undefined;
  /** Why nothing could be stored in the directory the last time; undefined when it could. Blobs are passed on meanwhile. */
  readonly diskProblem: string | undefined;
  readonly repositories: number;
  readonly sharedStore: "failing" | "none" | "ok";
  readonly upstreams: readonly UpstreamState[];
  readonly fills: readonly {
    readonly digest: Digest;
    readonly receivedBytes: number;
    readonly totalBytes: number | undefined;
    readonly readers: number;
  }[];
}

/** A pull-through cache of container registries. */
export interface RegistryMirror {
  /** What works, but probably not as meant. */
  readonly warnings: readonly string[];
  /** Answers one request, given as it came over the wire. Rejects only when the request's signal is aborted. */
  answer(request: MirrorRequest): Promise<MirrorResponse>;
  /**
   * The same for servers that speak in terms of `fetch`. An aborted signal also ends a body that is on its way; one that is neither read
   * nor cancelled is let go after `limits.clientIdleMs`.
   */
  handle(request: Request): Promise<Response>;
  /** The upstream that a host belongs to; undefined when none is configured for it. */
  registryAt(host: string): KnownRegistry | undefined;
  /**
   * Passes a request on to a registry: nothing of it is cached, and no login of the mirror's own is used. Answers of any status
   * come back; an upstream that gives none makes an error response.
   *
   * @throws {TypeError} no upstream is configured for the host
   */
  relay(request: RelayRequest): Promise<MirrorResponse>;
  /** Token servers to which clients were sent so far. */
  tokenServers(): readonly TokenServer[];
  status(): MirrorStatus;
  metrics(): readonly Sample[];
  /** Everything that is cached, sorted by name. */
  entries(filter?: EntryFilter): readonly CachedEntry[];
  /**
   * Forgets what fits the filter, also in the shared store; blobs that something else refers to stay. Other mirrors keep what they have on
   * their own disks. Resolves to the number of entries; rejects with what the shared store fails with; the directory is as it was then.
   */
  purge(filter: EntryFilter): Promise<number>;
  /** Removes what is too old or belongs to nothing, again and again until the signal is aborted. */
  maintain(signal: AbortSignal): Promise<void>;
  /** Does what {@link RegistryMirror.maintain} does, once. */
  tidy(): Promise<void>;
  /**
   * Reads everything that is stored once, at 10 MB a second, and removes what is damaged; {@link RegistryMirror.maintain}
   * does it every day. Rejects with the signal's reason when it is aborted.
   */
  scrub(signal: AbortSignal): Promise<void>;
  /** Ends every fill, and waits until everything is on the disk. Requests are answered with 503 from then on. */
  close(): Promise<void>;
}
