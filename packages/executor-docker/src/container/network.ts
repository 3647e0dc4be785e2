import type { ExecutorContext } from "../executor-context.ts";
import type { DockerPrepareRequest } from "../types.ts";
import { removeNetwork } from "./cleanup.ts";
import type { JobBelongings } from "./cleanup.ts";
import type { JobNames } from "./names.ts";

/** Makes a network of the job's own, if it wants one and the configuration names none. @returns its name */
export async function createNetwork(
  { engine, options }: ExecutorContext,
  { variables, signal }: DockerPrepareRequest,
  names: JobNames,
  labels: Readonly<Record<string, string>>,
  belongings: JobBelongings,
): Promise<string | undefined> {
  const { networkMode, networkMtu, enableIpv6 } = options.settings ?? {};
  const isWanted = ["1", "t", "T", "true", "TRUE", "True"].includes(variables.get("FF_NETWORK_PER_BUILD") ?? "");
  if (!isWanted || (networkMode !== undefined && networkMode !== "")) return undefined;
  // One that an earlier try has left.
  await removeNetwork(engine, names.network, { withVolumes: true, signal });
  await engine.call("create a network", (docker) =>
    docker.createNetwork({
      Name: names.network,
      Driver: "bridge",
      Labels: labels,
      EnableIPv6: enableIpv6 === true,
      CheckDuplicate: true,
      ...(networkMtu === undefined || networkMtu === 0
        ? {}
        : { Options: { "com.docker.network.driver.mtu": String(networkMtu) } }),
    }),
  );
  belongings.network(names.network);
  return names.network;
}
