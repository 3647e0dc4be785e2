import { isDigest } from "../reference/grammar.ts";
import type { Digest } from "../reference/grammar.ts";
import type { Descriptor, ManifestFacts } from "../reference/manifest.ts";
import type { TagTimes } from "../routing/freshness.ts";
import type { Opened } from "./era.ts";

/** What a tag led to when it was last asked for. */
export interface TagRecord extends TagTimes, Opened {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly bytes: number;
  /** Epoch milliseconds at which the tag got this digest. */
  readonly fetchedAtMs: number;
}

/** A digest that was seen under a name. */
export interface DigestRecord extends Opened {
  readonly bytes: number;
  /** Of a manifest; undefined for a blob that no known manifest lists. */
  readonly manifest: ManifestFacts | undefined;
}

/** Reads what was written down of a tag; undefined when it makes no sense. */
export function readTag(text: string): TagRecord | undefined {
  const { digest, mediaType, bytes, checkedAtMs, fetchedAtMs, validForMs, ...more } = parsed(text);
  if (typeof digest !== "string" || !isDigest(digest) || typeof mediaType !== "string") return undefined;
  if (typeof bytes !== "number" || typeof checkedAtMs !== "number" || typeof fetchedAtMs !== "number") return undefined;
  const record = { digest, mediaType, bytes, checkedAtMs, fetchedAtMs, ...opened(more) };
  return typeof validForMs === "number" ? { ...record, validForMs } : record;
}

/** Reads what was written down of a digest; undefined when it makes no sense. */
export function readDigest(text: string): DigestRecord | undefined {
  const { bytes, manifest, ...more } = parsed(text);
  if (typeof bytes !== "number") return undefined;
  if (manifest === undefined) return { bytes, manifest: undefined, ...opened(more) };
  if (typeof manifest !== "object" || manifest === null) return undefined;
  const { mediaType, children } = manifest as Readonly<Record<string, unknown>>;
  if (typeof mediaType !== "string" || !Array.isArray(children) || !children.every(isDescriptor)) return undefined;
  return { bytes, manifest: { mediaType, children }, ...opened(more) };
}

function opened({ era, openTo }: Readonly<Record<string, unknown>>): Opened {
  if (openTo !== "anybody" && openTo !== "mirror") return {};
  return typeof era === "string" ? { openTo, era } : { openTo };
}

function isDescriptor(value: unknown): value is Descriptor {
  if (typeof value !== "object" || value === null) return false;
  const { digest, bytes, kind } = value as Readonly<Record<string, unknown>>;
  return (
    typeof digest === "string" &&
    isDigest(digest) &&
    typeof bytes === "number" &&
    (kind === "blob" || kind === "manifest")
  );
}

function parsed(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
  } catch {
    // A file system that lost blocks in a crash; the record can be had again.
    return {};
  }
}
