/** `sha256:` and 64, or `sha512:` and 128 lower-case hexadecimal digits. */
export type Digest = `${"sha256" | "sha512"}:${string}`;

/** What stands behind `/manifests/`. */
export type Reference = { readonly tag: string } | { readonly digest: Digest };

/**
 * Whether a text is a repository name.
 *
 * @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests
 */
export function isRepositoryName(text: string): boolean {
  return text.length <= maxNameLength && repositoryName.test(text);
}

/** Whether a text is a tag. */
export function isTag(text: string): boolean {
  return tag.test(text);
}

/** Whether a text is a digest of an algorithm that can be checked. @see https://github.com/opencontainers/image-spec/blob/main/descriptor.md#digests */
export function isDigest(text: string): text is Digest {
  return digest.test(text);
}

/** Whether a text is a host with an optional port, in lower case; only such a first component is not part of a name. */
export function isRegistryHost(text: string): boolean {
  if (text.length > maxNameLength || !registryHost.test(text)) return false;
  const [host = "", port] = text.split(":");
  if (port !== undefined && (Number(port) === 0 || Number(port) > 65_535)) return false;
  return host === "localhost" || host.includes(".") || port !== undefined;
}

/** The longest that clients send: host, `/` and name together. */
const maxNameLength = 255;
const component = "[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*";
const repositoryName = new RegExp(`^${component}(?:/${component})*$`);
const tag = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;
const digest = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;
const registryHost = /^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::\d{1,5})?$/;
