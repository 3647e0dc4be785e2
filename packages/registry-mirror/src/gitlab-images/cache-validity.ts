/**
 * What an upstream's `tagTtlMs` is for the `cache_validity_hours` of one of GitLab's virtual registry. There 0 hours mean that nobody
 * asks again; a lifetime of 0 would mean the opposite.
 *
 * @param hours - as GitLab's API has it, 24 unless somebody has changed it
 * @throws {TypeError} it is negative, or no whole number
 * @see https://docs.gitlab.com/api/container_virtual_registries/
 */
export function tagTtlOfCacheValidity(hours: number): number | "forever" {
  if (!Number.isSafeInteger(hours) || hours < 0) throw new TypeError(`${hours} is no number of hours`);
  return hours === 0 ? "forever" : hours * 60 * 60_000;
}
