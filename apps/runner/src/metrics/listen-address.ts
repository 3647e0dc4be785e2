import { UsageError } from "../errors.ts";

export interface ListenAddress {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
}

/** Of GitLab's runner, so that what scrapes it finds this one, too. */
const DEFAULT_PORT = 9252;

const LOOPBACK = "127.0.0.1";

/**
 * Reads `listen_address`: `host:port`, `:port`, `[::1]:port` or `host`. Without a host it is this machine alone, since what is served there
 * asks nobody who they are; `0.0.0.0:9252` is everybody.
 *
 * @throws {UsageError} it is no such address
 */
export function parseListenAddress(text: string): ListenAddress {
  const match = /^(?:\[([0-9A-Fa-f:.%\w]+)\]|([^:[\]]*))(?::(\d{1,5}))?$/.exec(text.trim());
  const port = match?.[3] === undefined ? DEFAULT_PORT : Number(match[3]);
  if (match === null || port > 65_535) {
    throw new UsageError(`"${text}" is no address to listen on.`, {
      cure: "Write listen_address as host:port, or :port for this machine alone.",
    });
  }
  return { host: match[1] ?? (match[2] || LOOPBACK), port };
}
