import { acceptsMediaType, matchesEntityTag } from "../reference/conditions.ts";
import type { ManifestHead } from "./images.ts";
import { apiVersion, errorResponse } from "./messages.ts";
import type { MirrorRequest, MirrorResponse } from "./messages.ts";

/** What a client gets of a manifest, if it takes manifests of that type. */
export function manifestResponse(
  request: MirrorRequest,
  head: ManifestHead,
  body?: Uint8Array,
  more: Readonly<Record<string, string>> = {},
): MirrorResponse {
  const { bytes, digest, mediaType, result } = head;
  if (!acceptsMediaType(request.headers["accept"], mediaType)) {
    return errorResponse(404, "MANIFEST_UNKNOWN", `the manifest is of type ${mediaType}, which was not asked for`);
  }
  const headers = {
    ...apiVersion,
    ...more,
    "content-type": mediaType,
    "content-length": String(bytes),
    "docker-content-digest": digest,
    etag: `"${digest}"`,
    "x-cache": result,
  };
  if (matchesEntityTag(request.headers["if-none-match"], digest)) {
    const { "content-length": _length, "content-type": _type, ...rest } = headers;
    return { status: 304, headers: rest, body: undefined };
  }
  // Whoever gets it may change it; the cache's own stays as it is.
  return { status: 200, headers, body: body === undefined ? undefined : new Uint8Array(body) };
}

/** Text of a warning header. @see https://www.rfc-editor.org/rfc/rfc7234#section-5.5 */
export function warningHeader(text: string): string {
  return `299 - "${text.replaceAll(/[^\x20-\x7e]|["\\]/g, " ").slice(0, 1000)}"`;
}
