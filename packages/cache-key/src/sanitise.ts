import { CacheKeyError } from "./errors.ts";
import { cleanPath } from "./clean-path.ts";

/**
 * Makes a key usable as a relative path: unescapes slashes and dots, resolves `.` and `..` without ever leaving the root,
 * and trims white space and slashes at the end. Sanitising again changes nothing more.
 *
 * @returns a clean relative path with `/` between its segments; empty only for an empty key
 * @throws {CacheKeyError} code `unusable-key`, when nothing is left, or a last segment of `.` or `..` after trimming
 */
export function sanitiseCacheKey(key: string): string {
  if (key === "") return "";
  const unescaped = key.replaceAll(/%2f|%2e|\\/gi, (match) => (match.toLowerCase() === "%2e" ? "." : "/"));
  const segments = cleanPath(`/${unescaped}`).slice(1).split("/");
  let last = "";
  while (last === "" && segments.length > 0) last = (segments.pop() ?? "").replace(trailingWhiteSpace, "");
  if (last === "" || last === "." || last === "..") {
    throw new CacheKeyError("unusable-key", key, `cache key ${JSON.stringify(key)} could not be sanitised`);
  }
  return [...segments, last].join("/");
}

/** Unicode's White_Space, which is not JavaScript's: with U+0085, without U+FEFF. */
const trailingWhiteSpace = /\p{White_Space}+$/u;
