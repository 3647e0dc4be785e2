import { parseImage } from "./parse-image.ts";

/** One login, as a job's payload has it. More fields are passed on as they are. */
export interface RegistryCredentials {
  /** Only `registry` counts. */
  readonly type: string;
  /** Host with an optional port and path; a scheme may stand in front. */
  readonly url: string;
}

/** The login that fits an image. */
export interface RegistryAuth<Credentials> {
  /** Host and port as the image has them, which is how the engine looks the login up. */
  readonly serverAddress: string;
  readonly credentials: Credentials;
}

/**
 * Finds the login for an image: host and port must be the same (443 may be left out), and the path a prefix that ends at a
 * `/`. The longest path wins.
 *
 * @throws {ImageReferenceError}
 */
export function registryAuth<Credentials extends RegistryCredentials>(
  image: string,
  credentials: readonly Credentials[],
): RegistryAuth<Credentials> | undefined {
  const { host, path, port, writtenHost } = parseImage(image);
  if (writtenHost === undefined) return undefined;
  const server = port === undefined || port === 443 ? host : `${host}:${port}`;
  let best: { readonly entry: Credentials; readonly length: number } | undefined;
  for (const entry of credentials) {
    const place = entry.type === "registry" ? placeOf(entry.url) : undefined;
    if (place?.server !== server) continue;
    const isBelow = place.path === "" || path === place.path || path.startsWith(`${place.path}/`);
    if (isBelow && place.path.length > (best?.length ?? -1)) best = { entry, length: place.path.length };
  }
  return best === undefined ? undefined : { serverAddress: writtenHost, credentials: best.entry };
}

function placeOf(url: string): { readonly server: string; readonly path: string } | undefined {
  const [, scheme, host = "", path = ""] = /^(?:(https?):\/\/)?([^/@?#\s]+)(\/[^?#\s]*)?$/i.exec(url) ?? [];
  if (host === "") return undefined;
  const defaultPort = scheme?.toLowerCase() === "http" ? ":80" : ":443";
  const lower = host.toLowerCase();
  const server = lower.endsWith(defaultPort) ? lower.slice(0, -defaultPort.length) : lower;
  return { server, path: path.replaceAll(/^\/+|\/+$/g, "") };
}
