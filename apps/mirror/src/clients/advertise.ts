import type { NetworkInterfaceInfo } from "node:os";
import { formatAddress, isLoopback, reachOf } from "../settings/addresses.ts";
import type { ListenAddress, Reach } from "../settings/addresses.ts";
import type { Advertised } from "../settings/advertised.ts";

/** What the address that clients use is chosen from. */
export interface AdvertiseFacts {
  /** As the operator gave it. */
  readonly advertise: Pick<Advertised, "host" | "port"> | undefined;
  readonly listeners: readonly ListenAddress[];
  readonly interfaces: Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>;
  /** Interface of the default route. */
  readonly routeInterface: string | undefined;
  readonly isContainer: boolean;
}

export interface AdvertisedAddress {
  /** Host and port. */
  readonly address: string;
  readonly reason: string;
  /** What the operator should know about it. */
  readonly remarks: readonly string[];
  /** Everything that was considered, best first. */
  readonly candidates: readonly string[];
}

const order: readonly Reach[] = ["private", "carrier", "public", "private-v6", "public-v6"];
/** Bridges and pairs that container engines make. */
const madeByEngines = /^(?:docker|br-|veth|cni|podman|virbr)/;

/** Chooses the address that clients should use: private ones before public ones, since they are faster and not billed. */
export function chooseAdvertised(facts: AdvertiseFacts): AdvertisedAddress {
  const { advertise, isContainer, listeners } = facts;
  const [first] = listeners;
  const port = first?.port ?? 6000;
  const found = candidates(facts);
  const shown = found.map(({ address }) => formatAddress({ host: address, port }));
  if (advertise !== undefined) {
    return {
      address: `${advertise.host}:${advertise.port ?? port}`,
      reason: "it was given",
      remarks: [],
      candidates: shown,
    };
  }
  const fixed = listeners.find((listener) => listener.host !== undefined && !isLoopback(listener));
  if (fixed !== undefined) {
    return { address: formatAddress(fixed), reason: "the mirror listens there only", remarks: [], candidates: shown };
  }
  if (first !== undefined && listeners.every(isLoopback)) {
    const remark =
      "Only this machine can use the mirror; others can with --listen 0.0.0.0:6000, or better one private address.";
    return {
      address: formatAddress(first),
      reason: "the mirror listens on loopback only",
      remarks: [remark],
      candidates: shown,
    };
  }
  const remarks = isContainer
    ? ["This is a container: its address is its own. Give the one that clients use with --advertise."]
    : [];
  const [best] = found;
  if (best === undefined) {
    return { address: `127.0.0.1:${port}`, reason: "the machine has no other address", remarks, candidates: shown };
  }
  if (best.reach === "public" || best.reach === "public-v6") {
    remarks.push("The address is a public one: traffic may be slow, billed, and reachable from outside.");
  }
  const address = formatAddress({ host: best.address, port });
  return {
    address,
    reason: `the first ${best.reach} address of the machine (${best.name})`,
    remarks,
    candidates: shown,
  };
}

interface Candidate {
  readonly name: string;
  readonly address: string;
  readonly reach: Reach;
}

function candidates({ interfaces, routeInterface }: AdvertiseFacts): readonly Candidate[] {
  const names = Object.keys(interfaces).filter((name) => !madeByEngines.test(name));
  const ordered = [
    ...names.filter((name) => name === routeInterface),
    ...names.filter((name) => name !== routeInterface),
  ];
  const all = ordered.flatMap((name) =>
    (interfaces[name] ?? []).flatMap(({ address }): Candidate[] => {
      const reach = reachOf(address);
      return reach === undefined || !order.includes(reach) ? [] : [{ name, address, reach }];
    }),
  );
  return order.flatMap((reach) => all.filter((candidate) => candidate.reach === reach));
}
