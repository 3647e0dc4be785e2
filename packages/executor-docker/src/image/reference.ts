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

/**
 * Whether it can be the name or the id of an image. What else a job may write must not become a part of a request's path.
 *
 * @see https://pkg.go.dev/github.com/distribution/reference
 */
export function isImageName(image: string): boolean {
  if (isImageId(image)) return true;
  const { name, tag, digest } = parseReference(image);
  const [first = "", ...rest] = name.split("/");
  const hasHost = rest.length > 0 && (/[.:A-Z]/.test(first) || first === "localhost");
  const path = hasHost ? rest : [first, ...rest];
  return (
    image.split("@").length <= 2 &&
    name.length <= MAX_NAME_LENGTH &&
    (!hasHost || HOST.test(first)) &&
    path.every((part) => PATH_PART.test(part)) &&
    (tag === undefined || TAG.test(tag)) &&
    (digest === undefined || DIGEST.test(digest))
  );
}

const MAX_NAME_LENGTH = 255;
const HOST = /^(?:\[[0-9A-Fa-f:]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(?::\d+)?$/;
const PATH_PART = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const TAG = /^\w[\w.-]{0,127}$/;
const DIGEST = /^[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}$/;

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
