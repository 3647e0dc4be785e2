import { isDigest } from "./grammar.ts";
import type { Digest } from "./grammar.ts";

/** Something that a manifest refers to. */
export interface Descriptor {
  readonly digest: Digest;
  /** Length in bytes, as the manifest says. */
  readonly bytes: number;
  readonly kind: "blob" | "manifest";
}

/** What the cache has to know of a manifest; its bytes are never written anew. */
export interface ManifestFacts {
  readonly mediaType: string;
  /** Config and layers, or the manifests of an index. */
  readonly children: readonly Descriptor[];
}

/** The largest manifest that is taken. @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-manifests */
export const maxManifestBytes: number = 4 * 1024 * 1024;

/** The four types that upstreams are asked for. @see https://github.com/opencontainers/image-spec/blob/main/media-types.md */
export const manifestTypes = {
  dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
  dockerList: "application/vnd.docker.distribution.manifest.list.v2+json",
  ociManifest: "application/vnd.oci.image.manifest.v1+json",
  ociIndex: "application/vnd.oci.image.index.v1+json",
} as const;

/** `Accept` of every manifest request: without it Docker Hub generates a document with another digest. */
export const manifestAccept: string = Object.values(manifestTypes).join(", ");

/**
 * Reads what a manifest refers to. Unknown types and fields are no problem; only what cannot be read at all has no children.
 *
 * @param contentType - as the upstream sent it
 */
export function readManifest(bytes: Uint8Array, contentType: string | undefined): ManifestFacts {
  const document = parsed(bytes);
  const sent = mediaTypeOf(contentType);
  const own = text(document["mediaType"]);
  const isVague = sent === undefined || sent === "application/json" || sent.startsWith("text/");
  const mediaType = (isVague ? own : sent) ?? (isVague ? guess(document) : sent);
  const children = [
    ...descriptors([document["config"]], "blob"),
    ...descriptors(list(document["layers"]), "blob"),
    ...descriptors(list(document["blobs"]), "blob"),
    ...descriptors(list(document["manifests"]), "manifest"),
  ];
  return { mediaType, children };
}

/**
 * Whether an answer can be a manifest at all, of whatever kind. The digest of what a tag leads to is not known before, so a login page
 * or a note of an appliance in between would pass for one.
 *
 * @param contentType - as the upstream sent it
 */
export function isManifest(bytes: Uint8Array, contentType: string | undefined): boolean {
  if (isPage(mediaTypeOf(contentType))) return false;
  const document = parsed(bytes);
  const isVersioned = typeof document["schemaVersion"] === "number" || text(document["mediaType"]) !== undefined;
  return isVersioned && ["mediaType", ...contentFields].some((field) => document[field] !== undefined);
}

/** Whether a type is that of a page for people. */
export function isPage(mediaType: string | undefined): boolean {
  return mediaType === "text/html" || mediaType === "application/xhtml+xml";
}

/** A media type without its parameters. */
export function mediaTypeOf(contentType: string | undefined): string | undefined {
  const [type = ""] = (contentType ?? "").split(";");
  return type.trim() === "" ? undefined : type.trim().toLowerCase();
}

const contentFields = ["manifests", "config", "layers", "blobs", "fsLayers"] as const;

function guess(document: Readonly<Record<string, unknown>>): string {
  return Array.isArray(document["manifests"]) ? manifestTypes.ociIndex : manifestTypes.ociManifest;
}

function descriptors(values: readonly unknown[], kind: Descriptor["kind"]): readonly Descriptor[] {
  return values.flatMap((value) => {
    if (typeof value !== "object" || value === null) return [];
    const { digest, size, urls } = value as Readonly<Record<string, unknown>>;
    if (typeof digest !== "string" || !isDigest(digest)) return [];
    // Layers that lie elsewhere are not expected to be here.
    if (Array.isArray(urls) && urls.length > 0) return [];
    const bytes = typeof size === "number" && Number.isSafeInteger(size) && size >= 0 ? size : 0;
    return [{ digest, bytes, kind }];
  });
}

function parsed(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  if (isTooIntricate(bytes)) return {};
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
  } catch {
    // The digest decides whether the bytes are right; what they mean is the client's business.
    return {};
  }
}

/** Millions of nested or empty lists take seconds to read, in which nobody else is answered. */
function isTooIntricate(bytes: Uint8Array): boolean {
  let brackets = 0;
  for (const byte of bytes) if (byte === openingBracket || byte === openingBrace) brackets += 1;
  return brackets > maxBrackets;
}

const openingBracket = 0x5b;
const openingBrace = 0x7b;
/** Several times as many as the longest manifest that is taken has when it lists images. */
const maxBrackets = 100_000;

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function text(value: unknown): string | undefined {
  return typeof value === "string" && /^[\w.+-]+\/[\w.+-]+$/.test(value) ? value.toLowerCase() : undefined;
}
