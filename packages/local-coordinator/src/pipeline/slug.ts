import { createHash } from "node:crypto";

/** A name as it may stand in a host name: lower case, letters, digits and `-`, at most 63. */
export function slugOf(name: string): string {
  return name
    .toLowerCase()
    .replaceAll(/[^a-z0-9]/g, "-")
    .slice(0, 63)
    .replaceAll(/^-+|-+$/g, "");
}

/**
 * `CI_ENVIRONMENT_SLUG`: at most 24 characters, beginning with a letter; a name that does not survive unchanged gets a hash,
 * so that two names never share a slug.
 *
 * @see https://docs.gitlab.com/ci/variables/predefined_variables/
 */
export function environmentSlug(name: string): string {
  const letters = name.toLowerCase().replaceAll(/[^a-z0-9]/g, "-");
  const slug = (/^[a-z]/.test(letters) ? letters : `env-${letters}`).replaceAll(/-+/g, "-");
  if (slug.length <= 24 && slug === name) return slug.replace(/-$/, "");
  const hash = BigInt(`0x${createHash("sha256").update(name).digest("hex")}`)
    .toString(36)
    .slice(-6);
  return `${slug.slice(0, 17).replace(/-$/, "")}-${hash}`;
}
