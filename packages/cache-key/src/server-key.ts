/** What a coordinator knows when it hands a key to a runner. */
export interface ServerCacheKeyOptions {
  /** The entry's key, or one of its fallback keys, with its variables still in it. */
  readonly key: string;
  /** How often the project's caches were cleared. @default 0 */
  readonly clearIndex?: number | undefined;
  /** Whether protected and unprotected refs have caches of their own. @default true */
  readonly separateCaches?: boolean | undefined;
  /** Whether the ref of the pipeline is protected; for a tag, whether the tag is. @default false */
  readonly protectedRef?: boolean | undefined;
  /** Whether who started the job is Maintainer or higher, as far as the coordinator knows users. @default false */
  readonly maintainer?: boolean | undefined;
  /** The entry's `unprotect`. @default false */
  readonly unprotect?: boolean | undefined;
}

/**
 * Appends what a coordinator adds to a key before it hands out the job: `-<clear index>`, then `-protected` or
 * `-non_protected`. It applies to an entry's key and to each of its fallback keys, never to `CACHE_FALLBACK_KEY`.
 *
 * @see https://docs.gitlab.com/ci/caching/#use-the-same-cache-for-all-branches
 */
export function serverCacheKey(options: ServerCacheKeyOptions): string {
  const {
    key,
    clearIndex = 0,
    separateCaches = true,
    protectedRef = false,
    maintainer = false,
    unprotect = false,
  } = options;
  const cleared = clearIndex > 0 ? `${key}-${clearIndex}` : key;
  if (!separateCaches) return cleared;
  return (protectedRef || maintainer) && !unprotect ? `${cleared}-protected` : `${cleared}-non_protected`;
}

/** Why a literal key, or the prefix of a key made from files, is a configuration error. */
export type KeyProblem = "contains-slash" | "only-dots";

/**
 * Checks a scalar `key` or a `prefix` as it stands in the configuration: form-decoded once, it must hold no `/` and not
 * be `.` or `..`. Variables are not looked into, so their values may bring slashes.
 *
 * @returns `undefined` when the text is fine
 * @see https://docs.gitlab.com/ci/yaml/#cachekey
 */
export function checkKeyText(text: string): KeyProblem | undefined {
  const decoded = text
    .replaceAll("+", " ")
    .replaceAll(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  if (decoded.includes("/")) return "contains-slash";
  return decoded === "." || decoded === ".." ? "only-dots" : undefined;
}
