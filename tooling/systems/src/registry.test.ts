import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { describeWithSystem } from "./describe-with-system.ts";
import { startRegistry } from "./registry.ts";

const manifestType = "application/vnd.oci.image.manifest.v1+json";

describeWithSystem("docker-registry", (registry) => {
  it("takes a pushed image and gives it back by tag and by digest", async () => {
    const manifest = await push(registry().endpoint, "team/image", "one");
    for (const reference of ["one", digestOf(manifest)]) {
      const pulled = await fetch(`${registry().endpoint}/v2/team/image/manifests/${reference}`, {
        headers: { accept: manifestType },
      });
      expect([pulled.status, await pulled.text()]).toEqual([200, manifest]);
    }
    const blob = await fetch(`${registry().endpoint}/v2/team/image/blobs/${digestOf("layer")}`);
    expect(await blob.text()).toBe("layer");
  });

  describe("as a mirror of another", () => {
    it("gives what the other has", async () => {
      const manifest = await push(registry().endpoint, "library/upstream", "latest");
      await using mirror = await startRegistry({ mirrorOf: registry().endpoint });
      const pulled = await fetch(`${mirror.endpoint}/v2/library/upstream/manifests/latest`, {
        headers: { accept: manifestType },
      });
      expect([pulled.status, await pulled.text()]).toEqual([200, manifest]);
    });
  });
});

/** Pushes an image of one layer. @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md#push */
async function push(endpoint: string, repository: string, tag: string): Promise<string> {
  for (const blob of ["{}", "layer"]) {
    const start = await fetch(`${endpoint}/v2/${repository}/blobs/uploads/`, { method: "POST" });
    const location = new URL(start.headers.get("location") ?? "", endpoint);
    location.searchParams.set("digest", digestOf(blob));
    const put = await fetch(location, { method: "PUT", body: new TextEncoder().encode(blob) });
    expect(put.status).toBe(201);
  }
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: manifestType,
    config: { mediaType: "application/vnd.oci.image.config.v1+json", digest: digestOf("{}"), size: 2 },
    layers: [{ mediaType: "application/vnd.oci.image.layer.v1.tar", digest: digestOf("layer"), size: 5 }],
  });
  const put = await fetch(`${endpoint}/v2/${repository}/manifests/${tag}`, {
    method: "PUT",
    headers: { "content-type": manifestType },
    body: manifest,
  });
  expect(put.status).toBe(201);
  return manifest;
}

function digestOf(content: string): string {
  return `sha256:${createHash("sha256").update(content).digest("hex")}`;
}
