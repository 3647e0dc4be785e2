/** The parts of an image's name. */
export interface ImageReference {
  /** With registry and path, without tag and digest. */
  readonly name: string;
  readonly tag: string | undefined;
  readonly digest: string | undefined;
}

/** Takes an image's name apart; a colon before the last slash belongs to a registry's port. */
export function parseReference(image: string): ImageReference {
  const [withTag = "", digest] = image.split("@", 2);
  const colon = withTag.lastIndexOf(":");
  const hasTag = colon > withTag.lastIndexOf("/");
  return {
    name: hasTag ? withTag.slice(0, colon) : withTag,
    tag: hasTag ? withTag.slice(colon + 1) : undefined,
    digest,
  };
}

/** The name with which an image is pulled: without tag and digest the engine would pull all tags. */
export function pullReference(image: string): string {
  const { tag, digest } = parseReference(image);
  return tag === undefined && digest === undefined ? `${image}:latest` : image;
}

/** Whether it is the id of an image rather than its name. */
export function isImageId(image: string): boolean {
  return /^(?:sha256:)?[0-9a-f]{64}$/.test(image) || /^sha256:[0-9a-f]{12,64}$/.test(image);
}

/**
 * Names under which a service answers that were not given to it: its path with `__` and with `-` for each slash.
 *
 * @see job-execution 2.4
 */
export function serviceNames(image: string): string[] {
  const { name } = parseReference(image);
  const withoutPort = name.replace(/^([^/]+):\d+\//, "$1/");
  return [...new Set([withoutPort.replaceAll("/", "__"), withoutPort.replaceAll("/", "-")])];
}
