import { isDigest, isRegistryHost, isRepositoryName, isTag } from "./grammar.ts";
import type { Digest, Reference } from "./grammar.ts";

/** Which image a path means, before anything is known of upstreams. */
export interface ImagePath {
  /** Everything in front of the protocol's own words. */
  readonly fullName: string;
  /** The first component, when it can only be a host. */
  readonly host: string | undefined;
  /** What follows the host; the same as `fullName` without one. */
  readonly name: string;
}

/** What a request path asks for. */
export type Route =
  | { readonly kind: "ping" }
  | { readonly kind: "catalog" }
  | { readonly kind: "manifest"; readonly image: ImagePath; readonly reference: Reference }
  | { readonly kind: "blob"; readonly image: ImagePath; readonly digest: Digest }
  | { readonly kind: "referrers"; readonly image: ImagePath; readonly digest: Digest }
  | { readonly kind: "tags"; readonly image: ImagePath }
  | { readonly kind: "refused"; readonly status: 400 | 404; readonly code: string; readonly message: string };

/** A request target, taken apart. */
export interface ParsedTarget {
  readonly route: Route;
  readonly query: URLSearchParams;
}

/**
 * Takes a raw request target apart, as it came over the wire: a URL parser would have resolved `..` already. The words of
 * the protocol may be parts of names, so it is read from the right.
 *
 * @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md#endpoints
 */
export function parseTarget(target: string): ParsedTarget {
  const questionMark = target.indexOf("?");
  const path = questionMark === -1 ? target : target.slice(0, questionMark);
  const query = new URLSearchParams(questionMark === -1 ? "" : target.slice(questionMark + 1));
  return { route: parsePath(path), query };
}

/** What a request is about that is passed on as it is. */
export type RelayTarget =
  /** `images` are all the repositories that it reads from or writes to. */
  | { readonly kind: "images"; readonly images: readonly ImagePath[] }
  /** Nothing that this mirror knows; whatever begins like one of `prefixes` may be about that repository. */
  | { readonly kind: "other"; readonly prefixes: readonly string[] }
  /** A path that the registry could read in another way than it is read here. */
  | { readonly kind: "ambiguous" };

/** Finds out which repositories a request is about, when its target reaches the registry untouched. */
export function parseRelayTarget(target: string): RelayTarget {
  const [path = "", ...queries] = target.split("?");
  if (path.includes("//") || !URL.canParse(path, "http://registry")) return { kind: "ambiguous" };
  if (new URL(path, "http://registry").pathname !== path) return { kind: "ambiguous" };
  const segments: string[] = [];
  for (const raw of path.slice(1).split("/")) {
    const segment = decoded(raw);
    if (segment === undefined || segment.includes("\\")) return { kind: "ambiguous" };
    segments.push(segment);
  }
  if (segments[0] !== "v2") return { kind: "other", prefixes: [] };
  // Some registries lead from a path with a slash at its end to the one without.
  const words = segments.slice(1).filter((segment, at, all) => segment !== "" || at < all.length - 1);
  const { route } = parseTarget(`/v2/${words.join("/")}`);
  if ("image" in route) return { kind: "images", images: [route.image] };
  const end = words.lastIndexOf("uploads");
  if (end < 2 || words[end - 1] !== "blobs" || end < words.length - 2) {
    return { kind: "other", prefixes: words.map((_, at) => words.slice(0, at + 1).join("/")) };
  }
  // A layer may be taken over from another repository.
  const sources = new URLSearchParams(queries.join("?")).getAll("from").map((from) => from.split("/"));
  const images = [words.slice(0, end - 1), ...sources].map(imageOf);
  const known = images.filter((image) => image !== undefined);
  return known.length === images.length ? { kind: "images", images: known } : { kind: "ambiguous" };
}

function parsePath(path: string): Route {
  if (path === "/v2" || path === "/v2/") return { kind: "ping" };
  if (!path.startsWith("/v2/")) return refused(404, "UNSUPPORTED", "there is nothing at this path");
  if (path.length > maxPathLength) return refused(404, "NAME_INVALID", "the path is too long");
  const segments: string[] = [];
  for (const raw of path.slice("/v2/".length).split("/")) {
    const segment = decoded(raw);
    if (segment === undefined) return refused(404, "NAME_INVALID", "the path has an escape that no name has");
    segments.push(segment);
  }
  if (segments.length === 1 && segments[0] === "_catalog") return { kind: "catalog" };
  const last = segments.at(-1) ?? "";
  const word = segments.at(-2);
  const image = imageOf(segments.slice(0, -2));
  switch (word) {
    case "manifests":
      return withImage(image, (named) => manifestRoute(named, last));
    case "blobs":
      return withImage(image, (named) => digestRoute("blob", named, last));
    case "referrers":
      return withImage(image, (named) => digestRoute("referrers", named, last));
    case "tags":
      if (last === "list") return withImage(image, (named) => ({ kind: "tags", image: named }));
      break;
    case "uploads":
      if (segments.at(-3) === "blobs") return refused(404, "BLOB_UPLOAD_UNKNOWN", "this registry takes no uploads");
      break;
  }
  return refused(404, "UNSUPPORTED", "there is nothing at this path");
}

function manifestRoute(image: ImagePath, reference: string): Route {
  if (reference.includes(":")) {
    if (!isDigest(reference)) return malformedDigest;
    return { kind: "manifest", image, reference: { digest: reference } };
  }
  if (!isTag(reference)) return refused(404, "MANIFEST_UNKNOWN", "no tag can have this name");
  return { kind: "manifest", image, reference: { tag: reference } };
}

function digestRoute(kind: "blob" | "referrers", image: ImagePath, digest: string): Route {
  // `GET …/blobs/uploads/` ends like this; an upload is nothing that could be read.
  if (digest === "") return refused(404, "BLOB_UPLOAD_UNKNOWN", "this registry takes no uploads");
  return isDigest(digest) ? { kind, image, digest } : malformedDigest;
}

function withImage(image: ImagePath | undefined, route: (image: ImagePath) => Route): Route {
  return image === undefined ? refused(404, "NAME_INVALID", "no repository can have this name") : route(image);
}

function imageOf(segments: readonly string[]): ImagePath | undefined {
  const fullName = segments.join("/");
  const [first = "", ...rest] = segments;
  const host = rest.length > 0 && isRegistryHost(first) ? first : undefined;
  const name = host === undefined ? fullName : rest.join("/");
  return isRepositoryName(name) && fullName.length <= 255 ? { fullName, host, name } : undefined;
}

/** Decodes one segment; an escape that hides a separator or that is broken is no part of any name. */
function decoded(segment: string): string | undefined {
  if (!segment.includes("%")) return segment;
  try {
    const text = decodeURIComponent(segment);
    return text.includes("/") || text.includes("%") ? undefined : text;
  } catch {
    return undefined;
  }
}

function refused(status: 400 | 404, code: string, message: string): Route {
  return { kind: "refused", status, code, message };
}

const malformedDigest = refused(
  400,
  "DIGEST_INVALID",
  "a digest is sha256 or sha512 and its lower-case hexadecimal digits",
);
/** Name, protocol words and a sha512 digest, each character escaped. */
const maxPathLength = 2048;
