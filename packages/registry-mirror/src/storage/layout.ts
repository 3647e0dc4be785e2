import type { Digest } from "../reference/grammar.ts";
import type { UpstreamImage } from "../routing/select.ts";

/**
 * Where things lie, below the mirror's directory and in the shared store alike. Only checked names, tags and digests come
 * in here, so no path leads elsewhere; components of names never begin with `_`, so records of an image cannot be taken
 * for another image.
 */
export function blobName(digest: Digest): string {
  const [algorithm = "", hex = ""] = digest.split(":");
  return `blobs/${algorithm}/${hex.slice(0, 2)}/${hex}`;
}

export function tagName({ upstream, name }: UpstreamImage, tag: string): string {
  return `meta/${upstream.id}/${name}/_tags/${tag}`;
}

export function digestName({ upstream, name }: UpstreamImage, digest: Digest): string {
  return `meta/${upstream.id}/${name}/_digests/${digest.replace(":", "-")}`;
}

export function leaseName(digest: Digest): string {
  return `leases/${digest.replace(":", "-")}`;
}

/** Of one record: far more than the largest list of a manifest. */
export const maxRecordBytes: number = 8 * 1024 * 1024;
