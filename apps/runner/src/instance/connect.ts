import { join, resolve } from "node:path";
import {
  createCoordinatorClient,
  type CoordinatorClient,
  type CoordinatorClientOptions,
  type Logger,
  type TlsFiles,
} from "@fleetfoot/coordinator-client";
import type { ProxySettings } from "@fleetfoot/proxy-env";
import { defined } from "../defined.ts";
import { runnerInfo } from "../runner-info.ts";

/** What the way to an instance depends on. */
export interface InstanceAccess {
  readonly url: string;
  readonly executor: string;
  readonly shell: string;
  /** As written; undefined: the file named after the host, if there is one. */
  readonly tlsCaFile?: string | undefined;
  readonly tlsCertificateFile?: string | undefined;
  readonly tlsKeyFile?: string | undefined;
}

/** What all connections of the process have in common. */
export interface NetworkSettings {
  /** Which proxy leads where. */
  readonly proxies: ProxySettings;
  /** Absolute; holds `<host>.crt`, `<host>.auth.crt` and `<host>.auth.key`. */
  readonly certificatesDirectory: string;
  /** Absolute; relative names of files for TLS start here. */
  readonly currentDirectory: string;
}

/**
 * Makes the client of one runner's instance. An unusable address shows when the first call is made.
 *
 * @param connectionMaxAgeMs - 0: connections are never too old
 */
export function connect(
  runner: InstanceAccess,
  network: NetworkSettings,
  logger: Logger,
  connectionMaxAgeMs?: number,
  observers: Pick<CoordinatorClientOptions, "onAttempt" | "onCall"> = {},
): CoordinatorClient {
  return createCoordinatorClient({
    url: runner.url,
    info: runnerInfo(runner.executor, runner.shell),
    tls: tlsFiles(runner, network),
    proxies: network.proxies,
    logger,
    ...observers,
    ...defined({ connectionMaxAgeMs }),
  });
}

/** @see coordinator-protocol 1.4 */
export function tlsFiles(runner: InstanceAccess, places: Omit<NetworkSettings, "proxies">): TlsFiles {
  if (!URL.canParse(runner.url)) return {};
  const { hostname } = new URL(runner.url);
  const find = (written: string | undefined, ending: string): string =>
    written === undefined
      ? join(places.certificatesDirectory, `${hostname}${ending}`)
      : resolve(places.currentDirectory, written);
  return {
    caFile: find(runner.tlsCaFile, ".crt"),
    certificateFile: find(runner.tlsCertificateFile, ".auth.crt"),
    keyFile: find(runner.tlsKeyFile, ".auth.key"),
  };
}
