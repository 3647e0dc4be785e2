import { createHash } from "node:crypto";
import { joinPath } from "./clean-path.ts";
import { CacheKeyError } from "./errors.ts";
import { expandReferences } from "./expand.ts";
import type { VariableLookup } from "./expand.ts";
import { sanitiseCacheKey } from "./sanitise.ts";

/** One entry of a job's list of caches, and what its keys depend on. */
export interface ResolveCacheKeysOptions {
  /** As the payload has it; empty stands for the job's name and ref. */
  readonly key: string;
  /** As the payload has them. @default [] */
  readonly fallbackKeys?: readonly string[] | undefined;
  readonly job: { readonly name: string; readonly ref: string };
  /** Prepared variables; file variables give their path. */
  readonly lookup: VariableLookup;
  /** The same, but file variables give their content; read for `CACHE_FALLBACK_KEY`. @default lookup */
  readonly lookupContent?: VariableLookup | undefined;
  /** Whether names are hashes of keys, the flag `FF_HASH_CACHE_KEYS`. @default false */
  readonly hashKeys?: boolean | undefined;
}

/** A name under which a cache may lie. */
export interface CacheName {
  /** What a person calls it: the expanded key, sanitised where names are not hashes. */
  readonly readable: string;
  /** What paths and object names are made of: a clean relative path or a hash. */
  readonly key: string;
  readonly hashed: boolean;
  /** What `key` would be if the flag stood the other way; nothing when the key cannot be sanitised. */
  readonly alternate: { readonly key: string; readonly hashed: boolean } | undefined;
}

export interface ResolvedCacheKeys {
  /** Where the cache is saved, and looked for first; nothing when the key is unusable. */
  readonly primary: CacheName | undefined;
  /** Where it is looked for after that, in this order; without names that were listed before. */
  readonly fallbacks: readonly CacheName[];
  /** Lines for the job's log: keys that changed, keys that cannot be used. */
  readonly warnings: readonly string[];
}

/**
 * Turns the keys of one cache entry into names: expands, then sanitises or hashes.
 *
 * An unusable key never throws: it is left out with a warning, and the others stay.
 *
 * @see https://docs.gitlab.com/ci/caching/#use-a-fallback-cache-key
 */
export function resolveCacheKeys(options: ResolveCacheKeysOptions): ResolvedCacheKeys {
  const { job, lookup, lookupContent = lookup, hashKeys = false } = options;
  const warnings: string[] = [];
  const keyOf = (expanded: string): CacheName | undefined => nameOf(expanded, hashKeys, warnings);

  const primary = keyOf(options.key === "" ? defaultKey(job) : expandReferences(options.key, lookup));
  const fallbacks: (CacheName | undefined)[] = [];
  for (const listed of options.fallbackKeys ?? []) {
    const once = expandReferences(listed, lookup);
    // A listed key that comes to nothing is how a pipeline leaves one out; only the second expansion may warn.
    if (once !== "") fallbacks.push(keyOf(expandReferences(once, lookup)));
  }
  const common = expandReferences(lookupContent("CACHE_FALLBACK_KEY") ?? "", lookup);
  if (common !== "") {
    if (checkFallbackKey(common) === "protected") {
      warnings.push(
        `CACHE_FALLBACK_KEY ${JSON.stringify(common)} is not allowed: keys that end in -protected belong to protected refs`,
      );
    } else {
      fallbacks.push(keyOf(common));
    }
  }
  return { primary, fallbacks: withoutRepetition(primary, fallbacks), warnings };
}

/** Whether a key may be the `CACHE_FALLBACK_KEY` of a job. */
export type FallbackKeyCheck = "allowed" | "protected" | "unusable";

/**
 * Decides whether an expanded key may serve as `CACHE_FALLBACK_KEY`. Every job can set that variable, so it must not reach
 * what protected refs saved: a key whose sanitised form ends in `-protected`, trailing dots and spaces aside, is refused.
 *
 * Names that are hashes need no check of their own: a key equal to a protected one has that ending after sanitising too.
 */
export function checkFallbackKey(key: string): FallbackKeyCheck {
  const sanitised = tryToSanitise(key);
  if (sanitised === undefined || sanitised === "") return "unusable";
  return sanitised.replace(/[.\s]+$/, "").endsWith("-protected") ? "protected" : "allowed";
}

/** Lower-case hex SHA-256 of an expanded key, the name it has when names are hashes. */
export function hashCacheKey(key: string): string {
  return createHash("sha256").update(key).digest("hex");
}

function defaultKey(job: { readonly name: string; readonly ref: string }): string {
  return joinPath("/", job.name, job.ref).slice(1);
}

function nameOf(expanded: string, hashKeys: boolean, warnings: string[]): CacheName | undefined {
  if (expanded === "") {
    warnings.push("empty cache key");
    return undefined;
  }
  const sanitised = tryToSanitise(expanded);
  if (hashKeys) {
    const alternate = sanitised === undefined ? undefined : { key: sanitised, hashed: false };
    return { readable: expanded, key: hashCacheKey(expanded), hashed: true, alternate };
  }
  if (sanitised === undefined) {
    warnings.push(`empty cache key: ${JSON.stringify(expanded)} could not be sanitised`);
    return undefined;
  }
  if (sanitised !== expanded) {
    warnings.push(`cache key ${JSON.stringify(expanded)} was sanitised to ${JSON.stringify(sanitised)}`);
  }
  const alternate = { key: hashCacheKey(expanded), hashed: true };
  return { readable: sanitised, key: sanitised, hashed: false, alternate };
}

function tryToSanitise(key: string): string | undefined {
  try {
    return sanitiseCacheKey(key);
  } catch (error) {
    if (CacheKeyError.isInstance(error)) return undefined;
    throw error;
  }
}

function withoutRepetition(primary: CacheName | undefined, names: readonly (CacheName | undefined)[]): CacheName[] {
  const seen = new Set([primary?.key]);
  return names.filter((name): name is CacheName => {
    if (name === undefined || seen.has(name.key)) return false;
    seen.add(name.key);
    return true;
  });
}
