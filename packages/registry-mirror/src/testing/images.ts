import { createHash, randomBytes } from "node:crypto";
import type { Digest } from "../reference/grammar.ts";
import { manifestTypes } from "../reference/manifest.ts";

/** A blob or a manifest, and its digest. */
export interface Content {
  readonly bytes: Buffer;
  readonly digest: Digest;
}

/** An image that was pushed. */
export interface PushedImage {
  readonly manifest: Content;
  readonly config: Content;
  readonly layers: readonly Content[];
}

export function contentOf(bytes: Buffer | string): Content {
  const buffer = Buffer.from(bytes);
  return { bytes: buffer, digest: `sha256:${createHash("sha256").update(buffer).digest("hex")}` };
}

/** A blob that no other test has. */
export function randomContent(bytes: number): Content {
  return contentOf(randomBytes(bytes));
}

export interface PushOptions {
  /** @default one layer of 1000 random bytes */
  readonly layers?: readonly Content[];
  /** @default Docker's */
  readonly mediaType?: string;
}

/** Pushes an image of random content to a registry. @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md#push */
export async function pushImage(
  endpoint: string,
  name: string,
  tag: string,
  { layers = [randomContent(1000)], mediaType = manifestTypes.dockerManifest }: PushOptions = {},
): Promise<PushedImage> {
  const config = contentOf(
    JSON.stringify({
      architecture: "amd64",
      os: "linux",
      made: randomBytes(8).toString("hex"),
      config: {},
      rootfs: { type: "layers", diff_ids: layers.map(({ digest }) => digest) },
    }),
  );
  for (const blob of [config, ...layers]) await pushBlob(endpoint, name, blob);
  const isOci = mediaType === manifestTypes.ociManifest;
  const configType = isOci
    ? "application/vnd.oci.image.config.v1+json"
    : "application/vnd.docker.container.image.v1+json";
  const layerType = isOci
    ? "application/vnd.oci.image.layer.v1.tar"
    : "application/vnd.docker.image.rootfs.diff.tar.gzip";
  const describe = (type: string, { bytes, digest }: Content): object => ({
    mediaType: type,
    size: bytes.byteLength,
    digest,
  });
  const manifest = contentOf(
    JSON.stringify({
      schemaVersion: 2,
      mediaType,
      config: describe(configType, config),
      layers: layers.map((layer) => describe(layerType, layer)),
    }),
  );
  await pushManifest(endpoint, name, tag, manifest, mediaType);
  return { manifest, config, layers };
}

async function pushBlob(endpoint: string, name: string, blob: Content): Promise<void> {
  const started = await fetch(`${endpoint}/v2/${name}/blobs/uploads/`, { method: "POST" });
  const location = new URL(started.headers.get("location") ?? "", endpoint);
  location.searchParams.set("digest", blob.digest);
  await expectCreated(await fetch(location, { method: "PUT", body: Uint8Array.from(blob.bytes) }));
}

export async function pushManifest(
  endpoint: string,
  name: string,
  reference: string,
  manifest: Content,
  mediaType: string,
): Promise<void> {
  const url = `${endpoint}/v2/${name}/manifests/${reference}`;
  const headers = { "content-type": mediaType };
  await expectCreated(await fetch(url, { method: "PUT", headers, body: Uint8Array.from(manifest.bytes) }));
}

async function expectCreated(response: Response): Promise<void> {
  const text = await response.text();
  if (response.status !== 201) throw new Error(`the registry answered ${response.status}: ${text}`);
}
