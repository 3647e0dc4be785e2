import { randomUUID } from "node:crypto";

/** Names the mirror in whatever it sends; what comes back with its own name goes round in a circle. */
export const viaHeader = "fleetfoot-mirror-via";

/** A name for one mirror that no other one has, however many there are in a process or in a row. */
export function newMirrorName(): string {
  return randomUUID();
}
