import { createHash } from "node:crypto";
import type { Hash } from "node:crypto";
import type { Digest } from "./grammar.ts";

/** A hash of the digest's algorithm that has seen nothing yet. */
export function hashFor(digest: Digest): Hash {
  return createHash(digest.slice(0, digest.indexOf(":")));
}

/** Whether what a hash has seen is what the digest names. The hash is of no use afterwards. */
export function isDigestOf(digest: Digest, hash: Hash): boolean {
  return hash.digest("hex") === digest.slice(digest.indexOf(":") + 1);
}

/** Digest of some bytes, by the algorithm of another digest. */
export function digestOf(bytes: Uint8Array, like: Digest): Digest {
  const algorithm = like.startsWith("sha512:") ? "sha512" : "sha256";
  return `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`;
}
