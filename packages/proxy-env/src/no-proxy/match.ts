import { isInRange, isLoopback, isSameAddress, parseAddress } from "./ip-address.ts";
import type { AddressBytes } from "./ip-address.ts";
import { withoutDot } from "./parse-no-proxy.ts";
import type { NoProxyEntry } from "./parse-no-proxy.ts";

/** A target as a bypass list sees it. */
export interface Target {
  /** Name in lower case and punycode. */
  readonly name: string;
  /** Present when the host is an address; names do not count then. */
  readonly address: AddressBytes | undefined;
  readonly port: string;
}

/**
 * The target of a URL.
 *
 * @param defaultPort - what stands for a port that is not written
 */
export function targetOf(url: URL, defaultPort: string, stripTrailingDot: boolean): Target {
  const host = url.hostname.replaceAll(/^\[|\]$/g, "");
  return {
    name: stripTrailingDot ? withoutDot(host) : host,
    address: parseAddress(host),
    port: url.port || defaultPort,
  };
}

/** Whether a target is this machine, whatever the list says. */
export function isLoopbackTarget({ name, address }: Target): boolean {
  return address === undefined ? name === "localhost" : isLoopback(address);
}

/** The first entry that covers a target. Names are never resolved. */
export function findMatch(entries: readonly NoProxyEntry[], target: Target): NoProxyEntry | undefined {
  return entries.find((entry) => matches(entry, target));
}

function matches(entry: NoProxyEntry, { name, address, port }: Target): boolean {
  switch (entry.kind) {
    case "all":
      return true;
    case "range":
      return address !== undefined && isInRange(address, entry.range);
    case "address":
      return address !== undefined && isSameAddress(address, entry.address) && isPort(entry.port, port);
    default:
      return (
        address === undefined &&
        (name.endsWith(`.${entry.name}`) || (entry.includesApex && name === entry.name)) &&
        isPort(entry.port, port)
      );
  }
}

function isPort(wanted: string, port: string): boolean {
  return wanted === "" || wanted === port;
}
