import { decideProxy, readProxyEnvironment } from "@fleetfoot/proxy-env";
import { openTunnel } from "@fleetfoot/proxy-env/dispatcher";
import { RegistryMirrorError } from "@fleetfoot/registry-mirror";
import type { Logger, RegistryMirror } from "@fleetfoot/registry-mirror";
import type { CertificateAuthority, ConnectHandler } from "@fleetfoot/registry-mirror/connect";
import { caOf } from "../authority.ts";
import type { CliContext } from "../context.ts";
import { UsageError } from "../errors.ts";
import type { ListenAddress } from "../settings/addresses.ts";
import type { Settings } from "../settings/read-settings.ts";
import { isOwnAddress } from "./own-address.ts";

export interface OpenedConnect {
  readonly handler: ConnectHandler;
  readonly ca: CertificateAuthority;
  readonly hosts: readonly string[];
}

interface ConnectParts {
  readonly settings: Settings;
  readonly mirror: RegistryMirror;
  readonly context: CliContext;
  readonly logger: Logger;
  /** Where the mirror listens by then. */
  readonly addresses: () => readonly ListenAddress[];
}

/**
 * Opens CONNECT mode when the settings want it; otherwise nothing of it is loaded.
 *
 * @throws {UsageError} the authority cannot be used
 */
export async function openConnect(parts: ConnectParts): Promise<OpenedConnect | undefined> {
  const { addresses, context, logger, mirror, settings } = parts;
  const { connect } = settings;
  if (connect === undefined) return undefined;
  const { createConnectHandler, openCa } = await import("@fleetfoot/registry-mirror/connect");
  const proxies = readProxyEnvironment(context.environment);
  try {
    const ca = await openCa(...(await caOf(settings, connect, context)));
    const handler = createConnectHandler({
      mirror,
      ca,
      policy: connect.policy,
      allowPrivate: settings.mirror.allowPrivate ?? [],
      ...(connect.users === undefined ? {} : { users: connect.users }),
      isOwnAddress: (address, port) => isOwnAddress(addresses(), address, port),
      throughProxy: ({ host, port }) => {
        const target = `${host.includes(":") ? `[${host}]` : host}:${port}`;
        const { proxy } = decideProxy(proxies, new URL(`https://${target}`));
        return proxy === undefined ? undefined : (signal) => openTunnel(proxy, target, { signal });
      },
      logger,
    });
    return { handler, ca, hosts: [...connect.policy.hosts, ...(connect.policy.httpHosts ?? [])] };
  } catch (error) {
    if (RegistryMirrorError.isInstance(error)) throw new UsageError(error.message, { cause: error });
    throw error;
  }
}
