import type { Digest } from "../reference/grammar.ts";

/** A name, and the upstream that is meant. */
export interface ImagePlace {
  readonly upstream: { readonly id: string };
  readonly name: string;
}

/** Tells names of upstreams apart; ids of upstreams have no spaces. */
export function imageKey({ upstream, name }: ImagePlace): string {
  return `${upstream.id} ${name}`;
}

/**
 * Where things lie, below the mirror's directory and in the shared store alike. Only checked names, tags and digests come
 * in here, so no path leads elsewhere; components of names never begin with `_`, so records of an image cannot be taken
 * for another image.
 */
export function blobName(digest: Digest): string {
  const [algorithm = "", hex = ""] = digest.split(":");
  return `blobs/${algorithm}/${hex.slice(0, 2)}/${hex}`;
}

export function tagName(place: ImagePlace, tag: string): string {
  return `${repositoryName(place)}/_tags/${tag}`;
}

export function digestName(place: ImagePlace, digest: Digest): string {
  return `${repositoryName(place)}/_digests/${digest.replace(":", "-")}`;
}

/** Where it is kept that access to a name was withdrawn. */
export function withdrawalName(place: ImagePlace): string {
  return `${repositoryName(place)}/${withdrawalFile}`;
}

/** Where others learn, in a shared store, that something of a name was opened again after access to it was withdrawn. */
export function openingName(place: ImagePlace): string {
  return `${repositoryName(place)}/_opened`;
}

/** Where everything lies that is known of a name. */
export function repositoryName({ upstream, name }: ImagePlace): string {
  return `meta/${upstream.id}/${name}`;
}

export const withdrawalFile = "_withdrawn";
export const recordFolders: readonly ["_tags", "_digests"] = ["_tags", "_digests"];

export function leaseName(digest: Digest): string {
  return `leases/${digest.replace(":", "-")}`;
}

/** Of one record: far more than the largest list of a manifest. */
export const maxRecordBytes: number = 8 * 1024 * 1024;
