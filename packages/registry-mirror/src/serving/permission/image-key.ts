import type { UpstreamImage } from "../../routing/select.ts";

/** Tells images apart: the upstream is a part of each key, whatever else is. */
export function imageKey({ name, upstream }: UpstreamImage): string {
  return `${upstream.id} ${name}`;
}
