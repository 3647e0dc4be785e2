import { isDigest, isRepositoryName, isTag } from "../reference/grammar.ts";

/** An image as users write it, taken apart. */
export interface ImageReference {
  /** Lower case; `docker.io` when none was written. */
  readonly host: string;
  readonly port: number | undefined;
  /** As written, without `library/` added. */
  readonly path: string;
  readonly tag: string | undefined;
  readonly digest: string | undefined;
  /** The host and port as written; undefined when there was none. */
  readonly writtenHost: string | undefined;
}

const marker: unique symbol = Symbol.for("@fleetfoot/registry-mirror/ImageReferenceError");

/** A text is no image reference. */
export class ImageReferenceError extends Error {
  override readonly name = "ImageReferenceError";
  readonly code = "invalid-image";
  readonly retryable = false;
  /** What is wrong with it, as it was written. */
  readonly part: string;

  constructor(text: string, part: string, reason: string) {
    super(`${JSON.stringify(text)} is no image: ${JSON.stringify(part)} ${reason}`);
    this.part = part;
  }

  static {
    Object.defineProperty(this.prototype, marker, { value: true });
  }

  /** Whether a value is such an error, also one of another installed copy of this package. */
  static isInstance(value: unknown): value is ImageReferenceError {
    return typeof value === "object" && value !== null && marker in value;
  }
}

/**
 * Takes an image reference apart.
 *
 * @throws {ImageReferenceError} it names the part that is wrong
 * @see https://pkg.go.dev/github.com/distribution/reference
 */
export function parseImage(text: string): ImageReference {
  const [named = "", digest, ...more] = text.split("@");
  if (more.length > 0 || (digest !== undefined && !isDigest(digest))) {
    throw new ImageReferenceError(text, [digest, ...more].join("@"), "is no digest");
  }
  const slash = named.indexOf("/");
  const first = named.slice(0, Math.max(0, slash));
  const writtenHost = slash > 0 && isHost(first) ? first : undefined;
  const rest = writtenHost === undefined ? named : named.slice(slash + 1);
  const colon = rest.lastIndexOf(":");
  const hasTag = colon > rest.lastIndexOf("/");
  const path = hasTag ? rest.slice(0, colon) : rest;
  const tag = hasTag ? rest.slice(colon + 1) : undefined;
  if (tag !== undefined && !isTag(tag)) throw new ImageReferenceError(text, tag, "is no tag");
  if (!isRepositoryName(path)) {
    const component = path.split("/").find((candidate) => !isRepositoryName(candidate)) ?? path;
    throw new ImageReferenceError(
      text,
      component,
      "cannot be part of a name: lower-case letters, digits, and separators between them",
    );
  }
  const [host = "docker.io", port] = (writtenHost ?? "docker.io").toLowerCase().split(":");
  return { host, port: port === undefined ? undefined : Number(port), path, tag, digest, writtenHost };
}

function isHost(text: string): boolean {
  if (!/^[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::\d{1,5})?$/.test(text)) return false;
  // With an upper-case letter it cannot be a path either.
  return text.includes(".") || text.includes(":") || text === "localhost" || /[A-Z]/.test(text);
}
