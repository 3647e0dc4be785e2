import { randomBytes } from "node:crypto";
import type { Opening } from "../routing/opening.ts";

/**
 * The time of a name between two withdrawals of access to it, called by the one that began it; there is no era before the first. What was
 * opened in one era counts for nothing in the next. A moment would not do: hosts that share a store have clocks that differ, and each
 * clock can be set back. Later ones sort behind earlier ones.
 */
export type Era = string;

/** To whom an upstream opened something, and when. */
export interface Opened {
  /** @default "clients" */
  readonly openTo?: Opening | undefined;
  /** @default before the first withdrawal */
  readonly era?: Era | undefined;
}

/** What an answer that is still to come will open, unless its name is refused before. */
export interface Expected {
  readonly opened: Opened;
  /** How many refusals there had been when it was asked for. */
  readonly refusals: number;
}

/** The one that begins with a withdrawal now. */
export function nextEra(known: Era | undefined, nowMs: number): Era {
  const momentMs = known === undefined ? nowMs : Math.max(nowMs, momentOf(known) + 1);
  // Two mirrors may have the same thought.
  return `${new Date(momentMs).toISOString()} ${randomBytes(4).toString("hex")}`;
}

/** Reads what was written down of one; undefined when it makes no sense. */
export function readEra(text: string): Era | undefined {
  return /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [0-9a-f]{8}$/.test(text) && Number.isFinite(momentOf(text))
    ? text
    : undefined;
}

/** To whom something is open in an era. */
export function openingIn(era: Era | undefined, opened: Opened | undefined): Opening | undefined {
  return opened?.era === era ? opened?.openTo : undefined;
}

/** Whether something was opened before a withdrawal after which something else was. */
export function isOfEarlierEra(one: Opened | undefined, other: Opened | undefined): boolean {
  return (one?.era ?? "") < (other?.era ?? "");
}

function momentOf(era: Era): number {
  return Date.parse(era.slice(0, "2026-01-01T00:00:00.000Z".length));
}
