export { systemClock } from "./clock.ts";
export type { Clock } from "./clock.ts";
export { DirectoryInUseError, MirrorOptionsError, RegistryMirrorError, UpstreamError } from "./errors.ts";
export type { UpstreamErrorCode, UpstreamFailure } from "./errors.ts";
export { noopLogger } from "./logger.ts";
export type { LogFields, Logger } from "./logger.ts";
export { metricDescriptions } from "./metrics.ts";
export type { MetricName, Sample } from "./metrics.ts";
export type { CachedEntry, EntryFilter } from "./keeping/inventory.ts";
export { createMirror } from "./mirror.ts";
export { createNodeListener } from "./node-listener.ts";
export type { NodeListenerOptions } from "./node-listener.ts";
export type {
  MirrorOptions,
  RedirectOptions,
  TagLifetime,
  TimeLimits,
  UpstreamCredentials,
  UpstreamOptions,
  VirtualRegistryOptions,
} from "./options.ts";
export type { Digest } from "./reference/grammar.ts";
export type { KnownRegistry, MirrorStatus, RegistryMirror, TokenServer } from "./registry-mirror.ts";
export { canonicalHost } from "./routing/registry-host.ts";
export { Secret } from "./secret.ts";
export type { CacheResult, MirrorRequest, MirrorResponse } from "./serving/messages.ts";
export type { RelayRequest } from "./serving/relaying.ts";
export type { Body } from "./storage/body.ts";
