import type { TagLifetime } from "../options.ts";
import type { Upstream } from "./registries.ts";

/** What freshness depends on. */
export interface TagTimes {
  /** Epoch milliseconds of the last answer of the upstream. */
  readonly checkedAtMs: number;
  /** Goes before every rule: the answer was only a makeshift. */
  readonly validForMs?: number | undefined;
}

/** How long a tag is believed. */
export function tagLifetime(upstream: Upstream, tag: string, isInVirtualRegistry: boolean): TagLifetime {
  const rule = upstream.tagRules.find(({ pattern }) => pattern.matches(tag));
  return rule?.ttlMs ?? upstream.options.tagTtlMs ?? (isInVirtualRegistry ? virtualTtlMs : plainTtlMs);
}

/** Whether a tag may be served without asking. A time in the future comes from a clock that was set back: ask. */
export function isFresh(times: TagTimes, lifetime: TagLifetime, nowMs: number): boolean {
  const age = nowMs - times.checkedAtMs;
  if (age < 0) return false;
  const most = times.validForMs ?? lifetime;
  return most === "forever" || age < most;
}

/** Whether a tag may be served although the upstream could not be asked. */
export function mayBeStale(times: TagTimes, staleIfErrorMs: number, nowMs: number): boolean {
  return nowMs - times.checkedAtMs <= staleIfErrorMs;
}

/** Epoch milliseconds until which the tag is believed; `Infinity` for ever. */
export function freshUntil(times: TagTimes, lifetime: TagLifetime): number {
  const most = times.validForMs ?? lifetime;
  return most === "forever" ? Number.POSITIVE_INFINITY : times.checkedAtMs + most;
}

const plainTtlMs = 60_000;
/** As in GitLab's virtual registries. @see https://docs.gitlab.com/user/packages/virtual_registry/container/ */
const virtualTtlMs = 24 * 60 * 60_000;
