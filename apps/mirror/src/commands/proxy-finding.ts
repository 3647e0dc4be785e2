/**
 * What there is to know of an engine that uses the mirror as its HTTP proxy.
 *
 * @param httpsProxy - as the engine tells it
 * @param url - of the mirror
 * @returns undefined when its proxy is none or another one
 */
export function proxyFinding(httpsProxy: string | undefined, url: string): string | undefined {
  if (httpsProxy === undefined || !URL.canParse(httpsProxy)) return undefined;
  const { host } = new URL(httpsProxy);
  if (host !== new URL(url).host) return undefined;
  return (
    `the engine uses ${host} as its HTTP proxy; for Docker Hub it takes the mirror's authority from the system's store only, and at its ` +
    'start: with "x509: certificate signed by unknown authority" it belongs there (certs.d counts for other registries), and the engine has to be restarted'
  );
}
