import type { Digest } from "./grammar.ts";

/**
 * Whether an `If-None-Match` names the digest: one tag, a list, weak forms, `*`, and the unquoted form of older clients.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9110#name-if-none-match
 */
export function matchesEntityTag(header: string | undefined, digest: Digest): boolean {
  if (header === undefined) return false;
  return header
    .split(",")
    .map((tag) => tag.trim().replace(/^W\//, "").replaceAll('"', ""))
    .some((tag) => tag === "*" || tag === digest);
}

/**
 * Whether an `Accept` allows a media type. Preferences do not matter: a manifest has the one type it has.
 *
 * @param header - several lines joined by commas
 */
export function acceptsMediaType(header: string | undefined, mediaType: string): boolean {
  if (header === undefined || header.trim() === "") return true;
  const [kind] = mediaType.split("/");
  return header
    .split(",")
    .map((value) => (value.split(";")[0] ?? "").trim().toLowerCase())
    .some((value) => value === "*/*" || value === `${kind}/*` || value === mediaType);
}
