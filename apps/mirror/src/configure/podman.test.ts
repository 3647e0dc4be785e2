import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { describeWithProgram } from "@fleetfoot-tooling/systems/vitest";
import { expect, it } from "vitest";
import { runMirror, startMirror } from "../testing/process.ts";

const run = promisify(execFile);
const manifestType = "application/vnd.oci.image.manifest.v1+json";

describeWithProgram("skopeo", (skopeo) => {
  it("RM D5: takes from the mirror what configure podman says, of each of its registries", async () => {
    const folder = await mkdtemp(join(tmpdir(), "podman-"));
    const quay = await serveImage();
    const internal = await serveImage();
    const config = join(folder, "mirror.toml");
    const facts = `data = "${folder}/data"\nlisten = ["127.0.0.1:0"]\n[upstreams.hub]\nurl = "http://127.0.0.1:1"\nhosts = ["docker.io"]\n`;
    const quayFacts = `[upstreams.quay]\nurl = "${quay.url}"\nhosts = ["quay.example"]\n`;
    const internalFacts = `[upstreams.internal]\nurl = "${internal.url}"\nhosts = ["reg.example:5000"]\n[virtual.own]\nupstreams = ["internal"]\n`;
    await writeFile(config, `${facts}${quayFacts}${internalFacts}`);
    await using mirror = await startMirror(["--config", config]);
    const words = ["configure", "podman", "--config", config, "--advertise", `127.0.0.1:${mirror.port}`];
    const { code, stdout } = await runMirror(words);
    expect(code).toBe(0);
    await writeFile(join(folder, "registries.conf"), stdout);
    await writeFile(join(folder, "policy.json"), JSON.stringify({ default: [{ type: "insecureAcceptAnything" }] }));
    for (const [host, { layer }] of [
      ["quay.example", quay],
      ["reg.example:5000", internal],
    ] as const) {
      const settings = ["--policy", join(folder, "policy.json"), "--registries-conf", join(folder, "registries.conf")];
      const image = join(folder, "image");
      await run(skopeo().path, [...settings, "copy", `docker://${host}/org/app:v1`, `dir:${image}`], {
        env: { HOME: folder, PATH: process.env["PATH"] },
      });
      expect(await readFile(join(image, createHash("sha256").update(layer).digest("hex")))).toEqual(layer);
      await rm(image, { recursive: true });
    }
    quay.close();
    internal.close();
    await mirror[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });
});

interface ServedImage {
  readonly url: string;
  readonly layer: Buffer;
  close(): void;
}

/** A registry that has `org/app:v1`. */
async function serveImage(): Promise<ServedImage> {
  const layer = randomBytes(100_000);
  const config = Buffer.from(
    JSON.stringify({ architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: [digestOf(layer)] } }),
  );
  const describe = (mediaType: string, bytes: Buffer): object => ({
    mediaType,
    size: bytes.byteLength,
    digest: digestOf(bytes),
  });
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: manifestType,
      config: describe("application/vnd.oci.image.config.v1+json", config),
      layers: [describe("application/vnd.oci.image.layer.v1.tar", layer)],
    }),
  );
  const server = createServer(({ method, url = "" }, response) => {
    const isManifest = url === "/v2/org/app/manifests/v1" || url === `/v2/org/app/manifests/${digestOf(manifest)}`;
    const bytes = isManifest ? manifest : [config, layer].find((blob) => url === `/v2/org/app/blobs/${digestOf(blob)}`);
    response.statusCode = bytes === undefined ? 404 : 200;
    if (isManifest) response.setHeader("content-type", manifestType);
    if (bytes !== undefined) response.setHeader("docker-content-digest", digestOf(bytes));
    response.setHeader("content-length", bytes?.byteLength ?? 0);
    response.end(method === "HEAD" ? undefined : bytes);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    layer,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}

function digestOf(bytes: Buffer): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}
