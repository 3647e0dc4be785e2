import { parseAddress } from "./no-proxy/ip-address.ts";
import { METADATA_ADDRESSES } from "./portable-no-proxy.ts";
import type { Environment } from "./variables.ts";

/**
 * The metadata addresses that Node itself would send to the proxy of this environment: those of a cloud's machine, at which SDKs
 * ask for its credentials, in the clear. That happens with `NODE_USE_ENV_PROXY=1` or `--use-env-proxy` and a list that does not
 * name them; no SDK can be told otherwise. A program that finds any should not start.
 *
 * Node's rules are meant here, not this package's: it knows no CIDR.
 *
 * @returns addresses to add to `NO_PROXY`; none when all is well
 * @see https://nodejs.org/api/http.html#built-in-proxy-support
 */
export function exposedMetadataAddresses(environment: Environment): readonly string[] {
  const isOn =
    environment["NODE_USE_ENV_PROXY"] === "1" || /(?:^|\s)--use-env-proxy\b/.test(environment["NODE_OPTIONS"] ?? "");
  const proxy = environment["http_proxy"] || environment["HTTP_PROXY"];
  if (!isOn || !proxy) return [];
  const list = environment["no_proxy"] || environment["NO_PROXY"] || "";
  const entries = list.split(",").map((entry) => entry.trim());
  return METADATA_ADDRESSES.filter((address) => !entries.some((entry) => coversForNode(entry, address)));
}

function coversForNode(entry: string, address: string): boolean {
  if (entry === "*" || entry === address || entry === `${address}:80`) return true;
  const [first, last, more] = entry.split("-").map(asNumber);
  const number = asNumber(address);
  if (first === undefined || last === undefined || number === undefined || more !== undefined) return false;
  return first <= number && number <= last;
}

/** An IPv4 address as one number. */
function asNumber(address: string): number | undefined {
  const bytes = parseAddress(address);
  return bytes?.length === 4 ? bytes.reduce((number, byte) => number * 256 + byte, 0) : undefined;
}
