// A mirror that pulls one image through itself, until it is killed. Arguments: its directory, and the upstream.
import { createMirror } from "../mirror.ts";
import type { RegistryMirror } from "../registry-mirror.ts";

const [, , directory = "", url = ""] = process.argv;
const mirror = await createMirror({ directory, upstreams: { hub: { url, hosts: ["docker.io"] } }, reserveBytes: 0 });
process.stdout.write("ready\n");
const manifest = await get(mirror, "manifests/v1");
const { layers } = JSON.parse(manifest.toString()) as { readonly layers: readonly { readonly digest: string }[] };
await Promise.all(layers.map(({ digest }) => get(mirror, `blobs/${digest}`)));
// Whoever started it ends it.
setInterval(() => {}, 1000);

async function get(from: RegistryMirror, resource: string): Promise<Buffer> {
  const { body } = await from.answer({ method: "GET", target: `/v2/library/kill/${resource}`, headers: {} });
  if (body === undefined || body instanceof Uint8Array) return Buffer.from(body ?? []);
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks);
}
