import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { classOfAddress } from "../upstream/address.ts";
import type { AllowedRanges } from "../upstream/address.ts";

/** Finds the addresses of a name. */
export type Resolve = (host: string) => Promise<readonly string[]>;

/** A host that nobody is connected to. */
export class ForbiddenHostError extends Error {
  override readonly name = "ForbiddenHostError";
}

/**
 * Whether an address belongs to nobody on the internet: loopback, private networks, link-local, multicast, reserved; IPv4
 * inside IPv6 counts as IPv4.
 *
 * @param allowed - ranges that the operator allows in spite of that
 */
export function isForbiddenAddress(address: string, allowed: AllowedRanges): boolean {
  return classOfAddress(address) !== "public" && !(isIP(address) !== 0 && allowed.contains(address));
}

/** By the system's resolver. */
export const systemResolve: Resolve = async (host) => (await lookup(host, { all: true })).map(({ address }) => address);

/**
 * Resolves a host once and checks all that was found. Whoever connects to one of the addresses, and not to the name again,
 * cannot be led elsewhere by a second answer.
 *
 * @throws {ForbiddenHostError} one of its addresses is forbidden, or there is none
 */
export async function checkedAddresses(
  host: string,
  resolve: Resolve,
  isForbidden: (address: string) => boolean,
): Promise<readonly string[]> {
  const addresses = isIP(host) === 0 ? await resolve(host) : [host];
  if (addresses.length === 0 || addresses.some(isForbidden)) {
    throw new ForbiddenHostError("it leads to an address that this mirror does not connect to (allowPrivate)");
  }
  return addresses;
}
