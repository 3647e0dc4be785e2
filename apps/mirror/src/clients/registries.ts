import { isIP } from "node:net";
import { canonicalHost } from "@fleetfoot/registry-mirror";
import { isLoopback } from "../settings/addresses.ts";
import type { Settings } from "../settings/read-settings.ts";

/** A registry that the mirror has, as its clients call it. */
export interface MirroredRegistry {
  /** `docker.io`, `quay.io`, `reg.example.com:5000`. */
  readonly host: string;
  /**
   * What stands between the mirror's address and the name for clients that cannot say which registry they mean: nothing, the host, or the
   * prefix of a virtual registry. Undefined when there is no such path.
   */
  readonly path: string | undefined;
}

/** Every registry that the mirror has, by host. Those of this machine only are another one to each client, and left out. */
export function registriesOf({ mirror }: Pick<Settings, "mirror">): readonly MirroredRegistry[] {
  const { upstreams, virtualRegistries = {} } = mirror;
  const byDefault = mirror.defaultRegistry ?? Object.keys(upstreams)[0];
  return Object.entries(upstreams).flatMap(([id, { hosts = [], url }]) => {
    const names = [new URL(url).host, ...hosts].map(canonicalHost).filter((host) => !isOfEachMachine(host));
    const [alone] = Object.entries(virtualRegistries).find(([, { upstreams: list }]) => list.join() === id) ?? [];
    const virtualPath = alone === undefined ? undefined : (virtualRegistries[alone]?.prefix ?? alone);
    return [...new Set(names)].map((host) => ({
      host,
      path: id === byDefault ? "" : canBeInPath(host) ? host : virtualPath,
    }));
  });
}

function isOfEachMachine(host: string): boolean {
  return isLoopback({ host: host.replace(/:\d+$/, "").replace(/^\[|\]$/g, ""), port: 0 });
}

/** Components of names have no colons, so clients take none with a port, although the mirror would; nor does it an IPv6 address. */
function canBeInPath(host: string): boolean {
  return !host.includes(":") && (host.includes(".") || isIP(host) === 4);
}
