/** What the names of staging folders begin with. */
export const STAGING_PREFIX = ".fleetfoot-restore-";

/**
 * Whether a path leads into a staging folder, of whatever root. No archive may take or bring one: it would be taken for an unfinished restore into a
 * folder below this root.
 *
 * @param path - slash path relative to a root
 */
export function isStagingPath(path: string): boolean {
  return path.startsWith(STAGING_PREFIX) || path.includes(`/${STAGING_PREFIX}`);
}
