/** Where an S3 service is, and how it wants its buckets addressed. */
export interface S3Endpoint {
  /** Undefined: the service of Amazon, wherever the bucket's region has it. */
  readonly url: string | undefined;
  /** Whether the bucket is the first segment of the path, not part of the host's name. */
  readonly pathStyle: boolean;
  /** Whether it is Amazon's, so that its other services are where Amazon has them. */
  readonly isAmazon: boolean;
}

export interface EndpointSettings {
  readonly bucket: string;
  readonly serverAddress: string;
  readonly insecure: boolean;
  readonly pathStyle: boolean | undefined;
}

/**
 * Chooses endpoint and style of addresses as GitLab's runner does.
 *
 * @see https://docs.gitlab.com/runner/configuration/advanced-configuration/#the-runnerscaches3-section (cache document 5.2)
 */
export function chooseEndpoint({ bucket, serverAddress, insecure, pathStyle }: EndpointSettings): S3Endpoint {
  const scheme = insecure ? "http" : "https";
  const address = serverAddress.replace(insecure ? /:80$/ : /:443$/, "");
  const host = address.replace(/:\d+$/, "").toLowerCase();
  const dotted = !insecure && bucket.includes(".");
  const isPlain = address === "" || (address === "s3.amazonaws.com" && !insecure);
  const knowsHosts = isPlain || virtualHosts.some((pattern) => pattern.test(host));
  return {
    url: isPlain ? undefined : `${scheme}://${address}`,
    pathStyle: pathStyle ?? (isPlain ? dotted : !knowsHosts || dotted),
    isAmazon: isPlain || amazonHost.test(host),
  };
}

/**
 * GitLab's runner puts a scheme before whatever it is given, so that the host of a URL is its scheme, which nobody knows. What is said of it holds
 * nothing of the address but the host: a URL may have credentials.
 *
 * @throws {TypeError} the address is a URL, or has a user
 */
export function checkServerAddress(serverAddress: string): void {
  const [, scheme, host = ""] = /^(?:([a-z][a-z0-9+.-]*):\/\/)?(?:[^/?#]*@)?([^/?#]*)/i.exec(serverAddress) ?? [];
  const insecurely = scheme?.toLowerCase() === "http" ? " and set insecure to true" : "";
  // Behind one of /, ? and # an @ may still belong to a password that nobody has escaped, and all before it as well.
  const isDoubtful = /[/?#].*@/s.test(serverAddress.slice(scheme === undefined ? 0 : scheme.length + "://".length));
  const cure = `write ${isDoubtful ? "its host alone" : JSON.stringify(host)}${insecurely}`;
  if (scheme !== undefined) throw new TypeError(`serverAddress is a host with or without a port, not a URL: ${cure}`);
  if (serverAddress.includes("@"))
    throw new TypeError(`serverAddress is a host with or without a port, and has no user and no password: ${cure}`);
}

const amazonHost = /(?:^|\.)amazonaws\.com(?:\.cn)?$/;

/** Hosts that serve each bucket under a name of its own. */
const virtualHosts: readonly RegExp[] = [
  /^s3(?:-fips)?(?:\.dualstack)?(?:[.-][a-z0-9-]+)?\.amazonaws\.com(?:\.cn)?$/,
  /^storage\.googleapis\.com$/,
  /^oss(?:-[a-z0-9-]+)?\.aliyuncs\.com$/,
];
