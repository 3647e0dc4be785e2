import { matchesEntityTag } from "../reference/conditions.ts";
import type { Digest } from "../reference/grammar.ts";
import { parseRange } from "../reference/range.ts";
import type { FoundBlob } from "./blobs.ts";
import { apiVersion, errorResponse } from "./messages.ts";
import type { CacheResult, MirrorResponse } from "./messages.ts";

/** What a client gets of a blob: all of it, the part that it wants, or where it is. */
export async function blobResponse(
  found: FoundBlob,
  digest: Digest,
  range: string | undefined,
  ifNoneMatch: string | undefined,
): Promise<MirrorResponse> {
  const { bytes, isWholeOnly = false, location, result } = found;
  if (location !== undefined) {
    return {
      status: 307,
      headers: { ...apiVersion, "docker-content-digest": digest, "content-length": "0", location },
      body: undefined,
    };
  }
  if (matchesEntityTag(ifNoneMatch, digest)) {
    found.release();
    return {
      status: 304,
      headers: { ...apiVersion, "docker-content-digest": digest, etag: `"${digest}"` },
      body: undefined,
    };
  }
  // Of a length that nobody knows yet no part can be named.
  const span = bytes === undefined || isWholeOnly ? undefined : parseRange(range, bytes);
  if (span === "unsatisfiable") {
    found.release();
    return errorResponse(416, "SIZE_INVALID", "the blob has no such part", { "content-range": `bytes */${bytes}` });
  }
  const headers = blobHeaders(digest, span === undefined ? bytes : span.end - span.start, result);
  if (span === undefined) return { status: 200, headers, body: await found.read() };
  const part = { ...headers, "content-range": `bytes ${span.start}-${span.end - 1}/${bytes}` };
  return { status: 206, headers: part, body: await found.read(span) };
}

/** Headers of a blob, or of a part of that length. */
export function blobHeaders(digest: Digest, bytes: number | undefined, result: CacheResult): Record<string, string> {
  return {
    ...apiVersion,
    "content-type": "application/octet-stream",
    ...(bytes === undefined ? {} : { "content-length": String(bytes) }),
    "docker-content-digest": digest,
    etag: `"${digest}"`,
    "accept-ranges": "bytes",
    "cache-control": "max-age=31536000",
    "x-cache": result,
  };
}
