import { isIP } from "node:net";
import { getDomain } from "tldts";
import type { Upstream } from "../routing/registries.ts";
import { parseChallenges } from "./challenge.ts";

/**
 * What of an upstream's `WWW-Authenticate` a client with a login of its own may see.
 *
 * @returns undefined when there is none, or when it would send the client to a token server that is not trusted
 */
export function trustedChallenge(
  wwwAuthenticate: string | string[] | undefined,
  { options, url }: Upstream,
): string | undefined {
  const challenges = parseChallenges(wwwAuthenticate);
  const isTrusted = challenges.every(({ scheme, parameters: { realm = "" } }) => {
    if (scheme !== "bearer") return true;
    return URL.canParse(realm) && isTrustedRealm(new URL(realm), url, options.realmHosts ?? []);
  });
  if (wwwAuthenticate === undefined || challenges.length === 0 || !isTrusted) return undefined;
  return typeof wwwAuthenticate === "string" ? wwwAuthenticate : wwwAuthenticate.join(", ");
}

/**
 * Whether credentials for a registry may be sent to a token server: over https (unless the registry itself has none), and
 * only where the host is the registry's, shares its registrable domain, or was named by the operator.
 *
 * @param realmHosts - hosts that the operator trusts
 */
export function isTrustedRealm(realm: URL, registry: URL, realmHosts: readonly string[]): boolean {
  if (realm.protocol !== "https:" && !(realm.protocol === "http:" && registry.protocol === "http:")) return false;
  if (realm.hostname === registry.hostname) return true;
  if (realmHosts.some((host) => host === realm.hostname || host === realm.host)) return true;
  if (isIP(realm.hostname) !== 0 || isIP(registry.hostname) !== 0) return false;
  const domain = getDomain(realm.hostname, { allowPrivateDomains: true });
  return domain !== null && domain === getDomain(registry.hostname, { allowPrivateDomains: true });
}
