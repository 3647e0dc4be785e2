import { networkInterfaces } from "node:os";
import { UsageError } from "../errors.ts";
import { formatAddress } from "../settings/addresses.ts";
import type { ListenAddress } from "../settings/addresses.ts";
import type { Settings } from "../settings/read-settings.ts";

/** Whether one of these addresses, where the mirror listens, is the one that is given. */
export function isOwnAddress(own: readonly ListenAddress[], address: string, port: number): boolean {
  return own.some((one) => one.port === port && (one.host ?? address) === address) && isOfThisMachine(address);
}

/**
 * Refuses upstreams that are the mirror itself. Names are not looked up, since a mirror starts while its upstreams are away; where one
 * leads here, requests say so.
 *
 * @throws {UsageError}
 */
export function refuseOwnUpstreams({ listeners, mirror, operators }: Settings): void {
  const own = [...listeners, operators].map((one) => ({
    ...one,
    host: one.host === "localhost" ? loopback : one.host,
  }));
  for (const [id, { url }] of Object.entries(mirror.upstreams)) {
    const { hostname, port, protocol } = new URL(url);
    const host = hostname === "localhost" ? loopback : hostname.replace(/^\[|\]$/g, "");
    const address = { host, port: port === "" ? (protocol === "https:" ? 443 : 80) : Number(port) };
    if (!isOwnAddress(own, address.host, address.port)) continue;
    throw new UsageError(
      `upstreams.${id}.url is ${formatAddress(address)}, where this mirror itself listens; name the registry that is to be mirrored`,
    );
  }
}

const loopback = "127.0.0.1";

function isOfThisMachine(address: string): boolean {
  return (
    address.startsWith("127.") ||
    Object.values(networkInterfaces()).some((list) => list?.some((one) => one.address === address))
  );
}
