import { join, resolve } from "node:path";
import {
  createCoordinatorClient,
  type CoordinatorClient,
  type Logger,
  type TlsFiles,
} from "@fleetfoot/coordinator-client";
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

/** Where files for TLS are looked for; both absolute. */
export interface TlsPlaces {
  /** Holds `<host>.crt`, `<host>.auth.crt` and `<host>.auth.key`. */
  readonly certificatesDirectory: string;
  /** Relative names start here. */
  readonly currentDirectory: string;
}

/**
 * Makes the client of one runner's instance. An unusable address shows when the first call is made.
 *
 * @param connectionMaxAgeMs - 0: connections are never too old
 */
export function connect(
  runner: InstanceAccess,
  places: TlsPlaces,
  logger: Logger,
  connectionMaxAgeMs?: number,
): CoordinatorClient {
  return createCoordinatorClient({
    url: runner.url,
    info: runnerInfo(runner.executor, runner.shell),
    tls: tlsFiles(runner, places),
    logger,
    ...defined({ connectionMaxAgeMs }),
  });
}

/** @see coordinator-protocol 1.4 */
export function tlsFiles(runner: InstanceAccess, places: TlsPlaces): TlsFiles {
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
