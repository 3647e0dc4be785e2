/** The host that stands for Docker Hub, whatever a client calls it. */
export const dockerHub = "docker.io";

/**
 * One spelling per registry: Docker Hub has several names, and the default port of https is no part of any.
 *
 * @param host - host with an optional port, as `ns` or the first component of an image has it
 */
export function canonicalHost(host: string): string {
  const plain = host.toLowerCase().replace(/:443$/, "");
  return hubNames.has(plain) ? dockerHub : plain;
}

/** The registry that a base URL belongs to, in the spelling of {@link canonicalHost}. */
export function hostOfUrl(url: string): string {
  return canonicalHost(new URL(url).host);
}

const hubNames: ReadonlySet<string> = new Set([dockerHub, "index.docker.io", "registry-1.docker.io"]);
