import { isIP } from "node:net";
import { getDomain } from "tldts";

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
