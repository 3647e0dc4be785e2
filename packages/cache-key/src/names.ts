import { joinPath } from "./clean-path.ts";
import { CacheKeyError } from "./errors.ts";

/** Where the caches of one project lie in a store. */
export interface ObjectNameOptions {
  /** Prefix from the runner's configuration, `Path`. @default "" */
  readonly path?: string | undefined;
  /** Whether all runners use the caches, not only the one with this token. @default false */
  readonly shared?: boolean | undefined;
  /**
   * The runner's token as it may be shown, `shortToken` of `@fleetfoot/coordinator-client`; unused when shared.
   *
   * @see cache document 2.1
   */
  readonly runnerShortToken: string;
  readonly projectId: number;
  /** A sanitised key, or the hash of one. */
  readonly key: string;
  /** Whether `key` is a hash, which gets a shard in front. @default false */
  readonly hashed?: boolean | undefined;
}

/**
 * Names the object that holds a cache. There is no file name at its end.
 *
 * @returns for example `runner/AbCdEfGhI/project/42/gems-protected`, with `hashed` `…/42/d0/d03a852b…`; a configured path
 *   that starts with a slash keeps it
 * @throws {CacheKeyError} code `outside-base` or `key-too-short`
 * @see https://docs.gitlab.com/runner/configuration/advanced-configuration/#the-runnerscache-section
 */
export function objectName(options: ObjectNameOptions): string {
  const { path = "", shared = false, runnerShortToken, projectId, key, hashed = false } = options;
  if (hashed && key.length < 2) {
    throw new CacheKeyError(
      "key-too-short",
      key,
      `hashed cache key ${JSON.stringify(key)} has less than two characters`,
    );
  }
  const namespace = shared ? "" : `runner/${runnerShortToken}`;
  const base = joinPath(path, namespace, "project", String(projectId));
  return below(base, key, joinPath(base, hashed ? key.slice(0, 2) : "", key));
}

/**
 * Says where the archive of a key lies on disk.
 *
 * @param cacheDirectory - of one project, absolute: the runner's cache directory and the {@link projectSlug}
 * @param key - a sanitised key, or the hash of one
 * @returns `<cacheDirectory>/<key>/cache.zip`; the name is the same for every archive format
 * @throws {CacheKeyError} code `outside-base`
 */
export function localCachePath(cacheDirectory: string, key: string): string {
  const base = joinPath(cacheDirectory);
  return `${below(base, key, joinPath(base, key))}/cache.zip`;
}

/**
 * Names a project's directory below a runner's cache directory.
 *
 * @param repositoryUrl - as the job's payload has it
 * @param options.emptyCheckout - whether the job uses `GIT_STRATEGY=empty`, which has caches of its own
 * @returns a clean relative path, for example `group/sub/project`; `project-<id>` for a URL that has no host or no usable path
 */
export function projectSlug(
  repositoryUrl: string,
  projectId: number,
  options: { readonly emptyCheckout?: boolean | undefined } = {},
): string {
  const slug = pathOfUrl(repositoryUrl) ?? `project-${projectId}`;
  return options.emptyCheckout === true ? `${slug}-empty` : slug;
}

function below(base: string, key: string, path: string): string {
  const start = base.endsWith("/") ? base : `${base}/`;
  // Under a base like `..` every further step up would look as if it were inside.
  const comparable = base !== "." && !/(?:^|\/)\.\.$/.test(base);
  if (comparable && path.startsWith(start) && path.length > start.length) return path;
  throw new CacheKeyError("outside-base", key, `cache key ${JSON.stringify(key)} leads out of ${JSON.stringify(base)}`);
}

/** Not WHATWG's URL: that resolves `..` and takes `git@host:path` and `host:path` for what they are not. */
function pathOfUrl(url: string): string | undefined {
  const parts = /^[a-z][a-z0-9+.-]*:\/\/(?:[^/?#@]*@)?([^/?#]*)([^?#]*)/i.exec(url);
  const [, host = "", rawPath = ""] = parts ?? [];
  const path = decode(rawPath)?.replace(/\.git$/, "");
  if (host === "" || path === undefined || path.includes("..")) return undefined;
  const slug = joinPath("/", path).slice(1);
  return slug === "" ? undefined : slug;
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    // Malformed percent signs: such a URL has no path that both runners would agree on.
    return undefined;
  }
}
